//! The cases, each with all that there is to say of it.

use super::escaped;
use super::overview::class_of;
use crate::suite::report::{CaseReport, Report};
use crate::suite::{Finding, Outcome, Role};

/// All cases by chapter and role, with the words that choose among them.
pub(super) fn all(report: &Report, charts: &[Option<String>]) -> String {
    let mut html = String::from(
        "<section id=\"cases\"><h2>Cases</h2>\n<div class=\"pick\">\
         <input type=\"radio\" name=\"show\" id=\"pick-all\" checked=\"\"/>\
         <label for=\"pick-all\">all</label>\
         <input type=\"radio\" name=\"show\" id=\"pick-told\"/>\
         <label for=\"pick-told\">not passed</label>\
         <input type=\"radio\" name=\"show\" id=\"pick-d\"/>\
         <label for=\"pick-d\">destination under test</label>\
         <input type=\"radio\" name=\"show\" id=\"pick-s\"/>\
         <label for=\"pick-s\">source under test</label></div>\n",
    );
    for chapter in report.chapters() {
        for role in [Role::Destination, Role::Source] {
            let is_here = |case: &&CaseReport| case.chapter == chapter && case.role == role;
            let class = role_class(role);
            if report.cases.iter().any(|case| is_here(&case)) {
                let told = report.cases.iter().filter(is_here).any(|case| !is_clean(case));
                let clean = if told { "" } else { " clean" };
                html.push_str(&format!(
                    "<h3 class=\"{class}{clean}\">{} <small>{role} under test</small></h3>\n",
                    escaped(chapter)
                ));
            }
            for (case, chart) in report.cases.iter().zip(charts) {
                if is_here(&case) {
                    html.push_str(&one(report, case, chart.as_deref()));
                }
            }
        }
    }
    html.push_str("</section>\n");
    html
}

/// Whether a case is left out where only those are wanted that did not pass.
fn is_clean(case: &CaseReport) -> bool {
    case.outcome == Outcome::Pass && !case.is_told()
}

const fn role_class(role: Role) -> &'static str {
    match role {
        Role::Destination => "d",
        Role::Source => "s",
    }
}

fn one(report: &Report, case: &CaseReport, chart: Option<&str>) -> String {
    let outcome = case.outcome;
    let class = class_of(outcome);
    let role = role_class(case.role);
    let clean = if is_clean(case) { " clean" } else { "" };
    let id = escaped(&case.id);
    let mut html = format!(
        "<details class=\"case {role}{clean}\"><summary><b class=\"o-{class}\">{outcome}</b>\
         <code>{id}</code> <span>{}</span><small>{}</small></summary>\n<div id=\"{id}\">\n",
        escaped(&case.title),
        marks(case),
    );
    html.push_str(&said(case));
    html.push_str(&judged(report, case));
    match (chart, &case.transcript) {
        (Some(chart), _) => html.push_str(chart),
        (None, Some(_)) => {
            let place = match &case.evidence {
                Some(folder) => format!("{}/dialogue.json of the evidence", escaped(folder)),
                None => "the evidence of a run with --evidence".to_owned(),
            };
            html.push_str(&format!(
                "<p class=\"left\">The chart is left out to keep the page small: the dialogue is \
                 in {place}.</p>\n"
            ));
        }
        (None, None) => html.push_str("<p class=\"left\">The case was not played.</p>\n"),
    }
    html.push_str(&format!(
        "<p class=\"again\">$ <code>{}</code></p>\n</div></details>\n",
        escaped(&case.repeat)
    ));
    html
}

/// Level and profile, and whether a deployed peer may crash.
fn marks(case: &CaseReport) -> String {
    let dangerous = if case.dangerous { ", dangerous" } else { "" };
    format!("{}, {}{dangerous}", case.level, case.profile)
}

/// What is sent and accepted, and which requirements that is about.
fn said(case: &CaseReport) -> String {
    let links: Vec<_> = case.requirements.iter().map(|id| requirement_link(id)).collect();
    format!(
        "<dl><dt>sent</dt><dd>{}</dd><dt>accepted</dt><dd>{}</dd>\
         <dt>requirements</dt><dd>{}</dd></dl>\n",
        escaped(&case.sends),
        escaped(&case.accepts),
        links.join(" ")
    )
}

pub(super) fn requirement_link(id: &str) -> String {
    let id = escaped(id);
    format!("<a class=\"r\" href=\"#{id}\">{id}</a>")
}

/// The two columns, and everything that was found.
fn judged(report: &Report, case: &CaseReport) -> String {
    let column = |name: &str, clean: Option<bool>| {
        let (class, word) = match clean {
            Some(true) => ("pass", "kept"),
            Some(false) => ("fail", "broken"),
            None => ("skip", "not seen"),
        };
        format!("<span class=\"col\">{name} <b class=\"o-{class}\">{word}</b></span>")
    };
    let mut html = String::from("<p class=\"cols\">");
    html.push_str(&column("safety", case.verdict.safety));
    html.push_str(&column("wording", case.verdict.wording));
    if let Some(seconds) = case.peer_seconds {
        html.push_str(&format!("<span class=\"col\">{seconds:.3} s for the peer</span>"));
    }
    html.push_str("</p>\n");
    html.push_str(&findings(report, case));
    html
}

/// Everything that was found, and why a case is not simply a pass.
pub(super) fn findings(report: &Report, case: &CaseReport) -> String {
    let mut items: Vec<_> =
        case.verdict.findings.iter().map(|finding| one_finding(report, finding)).collect();
    if let Some(reason) = &case.verdict.reason {
        let word = if case.outcome == Outcome::Timeout { "awaited" } else { "because" };
        items.push(format!("<li><b>{word}</b> {}</li>", escaped(reason)));
    }
    if let Some(difference) = &case.difference {
        items.push(format!("<li><b>but</b> {}</li>", escaped(difference)));
    }
    if let Some(expected) = &case.expected {
        items.push(format!("<li><b>expected</b> {}</li>", escaped(&expected.says)));
    }
    match items.is_empty() {
        true => String::new(),
        false => format!("<ul class=\"found\">{}</ul>\n", items.join("\n")),
    }
}

fn one_finding(report: &Report, finding: &Finding) -> String {
    let requirement = report.requirements.iter().find(|it| it.id == finding.requirement);
    let text = requirement.map_or("", |requirement| requirement.text.as_str());
    format!(
        "<li><b>{}</b> {}<blockquote>{} {}</blockquote></li>",
        finding.column,
        escaped(&finding.says),
        requirement_link(&finding.requirement),
        escaped(text)
    )
}
