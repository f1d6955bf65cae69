use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::write_file;
use rdma_migration_conformance::suite::Case;
use rdma_migration_conformance::suite::evidence::Evidence;
use rdma_migration_conformance::suite::peers::Peers;
use rdma_migration_conformance::suite::report::Report;
use rdma_migration_conformance::suite::session::{Judged, Session};

/// The arguments that say what is kept of a run.
#[derive(Debug, Args)]
pub(super) struct Outputs {
    /// Keep what was done and seen in this folder, for `conformance verify`.
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,

    /// Do not play again what a run before has left in that folder, but go on from there.
    #[arg(long, requires = "evidence")]
    resume: bool,

    /// Write the report as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the report as JUnit XML to this file.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Write the report as one HTML page to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Writes a report in one form.
type Form = fn(&Report, &mut Vec<u8>) -> io::Result<()>;

/// The evidence of a run, if there is to be any.
pub(super) struct Keeper<'a>(Option<(Evidence, &'a Path)>);

impl Outputs {
    /// Whether evidence is kept.
    pub(super) const fn keeps_evidence(&self) -> bool {
        self.evidence.is_some()
    }

    /// Begins the folder of evidence, if there is to be one.
    pub(super) fn begin_evidence(
        &self,
        session: Session,
        peers: &dyn Peers,
    ) -> Result<Keeper<'_>, String> {
        let begun = self.evidence.as_deref().map(|folder| {
            let begin = if self.resume { Evidence::resume } else { Evidence::begin };
            let evidence = begin(folder, session, peers.name(), &peers.guest());
            evidence.map(|evidence| (evidence, folder)).map_err(|error| about(folder, &error))
        });
        Ok(Keeper(begun.transpose()?))
    }

    /// Writes the reports that were asked for.
    pub(super) fn write(&self, report: &Report) -> Result<(), String> {
        let forms: [(&Option<PathBuf>, Form); 3] = [
            (&self.json, |report, bytes| report.write_json(bytes)),
            (&self.junit, |report, bytes| report.write_junit(bytes)),
            (&self.html, |report, bytes| report.write_html(bytes)),
        ];
        for (path, form) in forms {
            let Some(path) = path else { continue };
            let mut bytes = Vec::new();
            form(report, &mut bytes).map_err(|error| about_report(path, &error))?;
            write_file(path, &bytes)?;
        }
        Ok(())
    }
}

impl Keeper<'_> {
    /// A case that a run before has left.
    pub(super) fn take_up(
        &mut self,
        case: &'static Case,
        peers: &dyn Peers,
    ) -> Result<Option<Judged>, String> {
        let Some((evidence, folder)) = &mut self.0 else { return Ok(None) };
        evidence.take_up(case, &peers.guest()).map_err(|error| about(folder, &error))
    }

    /// Keeps what was done and seen in a case.
    pub(super) fn add(&mut self, judged: &Judged) -> Result<(), String> {
        let Some((evidence, folder)) = &mut self.0 else { return Ok(()) };
        evidence.add(judged).map_err(|error| about(folder, &error))
    }

    /// Ends the folder.
    pub(super) fn finish(self) -> Result<(), String> {
        let Some((evidence, folder)) = self.0 else { return Ok(()) };
        evidence.finish().map_err(|error| about(folder, &error))
    }
}

fn about(folder: &Path, error: &io::Error) -> String {
    format!("cannot keep evidence in {}: {error}", folder.display())
}

fn about_report(path: &Path, error: &io::Error) -> String {
    format!("cannot write the report {}: {error}", path.display())
}
