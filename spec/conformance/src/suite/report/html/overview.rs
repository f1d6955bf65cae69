//! What a run comes to: the verdict, what went wrong, the matrix, the requirements.

use super::case::findings;
use super::escaped;
use crate::suite::report::{CaseReport, Policy, Report, RequirementReport};
use crate::suite::{Outcome, Role};

/// The class of an outcome in the style sheet.
pub(super) const fn class_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::Skip => "skip",
        Outcome::Waived => "waived",
        Outcome::UnexpectedPass => "stale",
        Outcome::Inconclusive => "odd",
        Outcome::Timeout => "timeout",
    }
}

pub(super) fn head(report: &Report) -> String {
    let class = match report.policy {
        Policy::Met => "pass",
        Policy::Failed => "fail",
        Policy::StaleWaiver | Policy::Inconclusive | Policy::Interrupted => "odd",
    };
    let mut html = format!(
        "<header><p class=\"over\">RDMA live migration · conformance suite {}</p>\n\
         <h1>{}</h1>\n<p class=\"verdict o-{class}\">{}</p>\n",
        escaped(&report.suite_version),
        escaped(&report.peer),
        escaped(&report.summary()),
    );
    html.push_str(&bar(report));
    html.push_str("<dl class=\"cards\">");
    let (reached, all) = (report.requirements_reached(), report.requirements.len());
    let broken = |clean: fn(&CaseReport) -> Option<bool>| {
        report.cases.iter().filter(|case| clean(case) == Some(false)).count().to_string()
    };
    let cards = [
        ("cases", report.cases.len().to_string()),
        ("requirements reached", format!("{reached} of {all}")),
        ("unsafe", broken(|case| case.verdict.safety)),
        ("against the wording", broken(|case| case.verdict.wording)),
        ("profile", report.profile.to_string()),
        ("seed", report.seed.to_string()),
        ("patience", format!("{} s", report.timeout_seconds)),
    ];
    for (name, value) in cards {
        html.push_str(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    }
    html.push_str("</dl>\n");
    if report.dangerous_left_out > 0 {
        let cases = report.dangerous_left_out;
        html.push_str(&format!("<p>{cases} cases that may crash the peer were left out.</p>\n"));
    }
    html.push_str(
        "<nav><a href=\"#matrix\">matrix</a> <a href=\"#cases\">cases</a> \
         <a href=\"#requirements\">requirements</a></nav>\n</header>\n",
    );
    html
}

/// One bar, in which each outcome has its part.
fn bar(report: &Report) -> String {
    let ended = Outcome::ALL.map(|outcome| (outcome, report.count(outcome)));
    let ended: Vec<_> = ended.into_iter().filter(|(_, cases)| *cases > 0).collect();
    let part = |(outcome, cases): &(Outcome, usize)| {
        let class = class_of(*outcome);
        format!("<span class=\"w {class}\" style=\"flex-grow:{cases}\"></span>")
    };
    let word = |(outcome, cases): &(Outcome, usize)| {
        format!("<li><span class=\"w {}\"></span>{cases} {outcome}</li>", class_of(*outcome))
    };
    let parts: String = ended.iter().map(part).collect();
    let words: String = ended.iter().map(word).collect();
    format!("<div class=\"bar\">{parts}</div><ul class=\"legend\">{words}</ul>\n")
}

/// The cases that somebody has to look at.
pub(super) fn told(report: &Report) -> String {
    let cases: Vec<_> = report.cases.iter().filter(|case| case.is_told()).collect();
    if cases.is_empty() {
        return String::new();
    }
    let mut html = String::from("<section id=\"told\"><h2>What did not pass</h2>\n");
    for case in cases {
        let outcome = case.outcome;
        let (id, class) = (escaped(&case.id), class_of(outcome));
        html.push_str(&format!(
            "<article class=\"o-{class}\"><h3><b>{outcome}</b> <a href=\"#{id}\"><code>{id}</code></a> \
             {}</h3>\n{}</article>\n",
            escaped(&case.title),
            findings(report, case),
        ));
    }
    html.push_str("</section>\n");
    html
}

/// A square for each case, by chapter and role.
pub(super) fn matrix(report: &Report) -> String {
    let mut html = String::from(
        "<section id=\"matrix\"><h2>Matrix</h2>\n<div class=\"wide\"><table class=\"matrix\">\
         <tr><th>chapter</th><th>destination under test</th><th>source under test</th>\
         <th>requirements</th></tr>\n",
    );
    for chapter in report.chapters() {
        html.push_str(&format!("<tr><th>{}</th>", escaped(chapter)));
        for role in [Role::Destination, Role::Source] {
            html.push_str(&cell(report, chapter, role));
        }
        let (reached, all) = report.reached_of(chapter);
        let meter = match all {
            0 => String::new(),
            _ => format!(
                "<meter min=\"0\" max=\"{all}\" value=\"{reached}\"></meter> {reached} of {all}"
            ),
        };
        html.push_str(&format!("<td class=\"n\">{meter}</td></tr>\n"));
    }
    html.push_str("</table></div></section>\n");
    html
}

fn cell(report: &Report, chapter: &str, role: Role) -> String {
    let is_here = |case: &&CaseReport| case.chapter == chapter && case.role == role;
    let cases: Vec<_> = report.cases.iter().filter(is_here).collect();
    if cases.is_empty() {
        return "<td></td>".to_owned();
    }
    let square = |case: &&CaseReport| {
        let (id, outcome) = (escaped(&case.id), case.outcome);
        let (class, title) = (class_of(outcome), escaped(&case.title));
        format!("<a class=\"w {class}\" href=\"#{id}\" title=\"{id}, {outcome}: {title}\"></a>")
    };
    let squares: String = cases.iter().map(square).collect();
    let passed = cases.iter().filter(|case| case.outcome == Outcome::Pass).count();
    let all = cases.len();
    format!("<td><div class=\"waffle\">{squares}</div><small>{passed} of {all} pass</small></td>")
}

/// Every requirement, with the cases that reach it.
pub(super) fn requirements(report: &Report) -> String {
    let mut html = String::from("<section id=\"requirements\"><h2>Requirements</h2>\n");
    let mut chapter = None;
    for requirement in &report.requirements {
        if chapter != Some(&requirement.chapter) {
            if chapter.is_some() {
                html.push_str("</table></details>\n");
            }
            let (reached, all) = report.reached_of(&requirement.chapter);
            html.push_str(&format!(
                "<details class=\"reqs\"><summary>{} <small>{reached} of {all} reached</small>\
                 </summary><table>\n",
                escaped(&requirement.chapter)
            ));
            chapter = Some(&requirement.chapter);
        }
        html.push_str(&requirement_row(report, requirement));
    }
    if chapter.is_some() {
        html.push_str("</table></details>\n");
    }
    html.push_str("</section>\n");
    html
}

fn requirement_row(report: &Report, requirement: &RequirementReport) -> String {
    let square = |id: &String| {
        let outcome = report.cases.iter().find(|case| case.id == *id).map(|case| case.outcome);
        let class = outcome.map_or("skip", class_of);
        let id = escaped(id);
        format!("<a class=\"w {class}\" href=\"#{id}\" title=\"{id}\"></a>")
    };
    let squares: String = requirement.cases.iter().map(square).collect();
    let squares = match squares.is_empty() {
        true => "<b class=\"o-odd\">not reached</b>".to_owned(),
        false => format!("<div class=\"waffle\">{squares}</div>"),
    };
    let id = escaped(&requirement.id);
    let text = escaped(&requirement.text);
    format!("<tr id=\"{id}\"><th>{id}</th><td>{text}</td><td>{squares}</td></tr>\n")
}

pub(super) fn foot(report: &Report) -> String {
    let kept = report.cases.iter().any(|case| case.evidence.is_some());
    let evidence = match kept {
        true => {
            "All that was done and seen is in the evidence of the run; \
                 <code>rdma-migration conformance verify</code> finds every verdict again from it."
        }
        false => "<code>conformance run --evidence DIR</code> keeps all that is done and seen.",
    };
    format!("<footer><p>{evidence} A click on a message shows its bytes.</p></footer>\n")
}
