//! The JUnit report: a bounded number of test cases, whatever the number of images.

use std::fmt;
use std::io::{self, Write};

use anyhow::Context as _;
use evaluation::agreement::{Gate, Row};
use evaluation::{ComparedPair, ComparisonReport, EvaluationReport};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::wording::{ComparisonText as _, EvaluationText as _, FAILURES, FailureRow, found};
use super::{Exporter, changes};
use evaluation::text::{grouped, printable};

/// Test cases in JUnit's XML.
pub struct Junit;

impl Exporter for Junit {
    fn comparison(&self, comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
        write_comparison(comparison, out)
    }

    fn evaluation(&self, evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()> {
        write_evaluation(evaluation, out)
    }
}

/// The most images of one kind that are cases of a run. Viewers of CI are slow with more, and some reject large files.
const IMAGES: usize = 200;

fn write_comparison(comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut report = JunitWriter::start(out, "classify compare")?;
    for compared in comparison.against_reference() {
        let ComparedPair { pair, gates, .. } = compared;
        let name = format!(
            "{} against {}",
            comparison.name(compared.run),
            comparison.name(compared.reference)
        );
        let case = |row: &Row| {
            let failed = (!row.within(&pair.tolerance, pair.basis)).then(|| comparison.row(row));
            Case::new(comparison.path(row.image), failed)
        };
        let mut cases: Vec<Case> = gates.iter().map(Case::gate).collect();
        if pair.rows.len() <= IMAGES {
            for row in pair.rows.iter() {
                cases.push(case(&row?));
            }
        } else {
            let worst = pair.worst_beyond(IMAGES)?;
            cases.extend(worst.iter().map(case));
            let rest = pair.rows.len() - worst.len();
            let beyond = pair.beyond() - worst.len();
            let more = if worst.is_empty() { "" } else { "more " };
            let found = format!(
                "{} {more}images have no case, {} of them beyond the limits; {ALL}",
                grouped(rest),
                grouped(beyond)
            );
            cases.push(Case::rest("further images", found, beyond > 0));
        }
        report.suite(&name, &cases)?;
    }
    let runs = comparison.runs.iter().filter_map(|run| {
        let message = run.info.as_ref().err()?;
        Some(Case::error(run.name.clone(), message.clone()))
    });
    let failures = failures(comparison.failure_rows(), comparison.failures.len());
    let errors: Vec<Case> = runs.chain(failures).collect();
    report.suite_unless_empty("could not compare", &errors)?;
    Ok(report.finish()?)
}

/// The place of the images that have no case.
const ALL: &str = "all are in the JSON and CSV reports";

/// Returns the cases of the first failures.
fn failures(rows: impl Iterator<Item = FailureRow>, count: usize) -> impl Iterator<Item = Case> {
    let failed = |row: FailureRow| Case::error(row.name().to_owned(), row.message);
    let rest = count.saturating_sub(FAILURES);
    let rest = (rest > 0).then(|| {
        let found = format!("{} more failures have no case; {ALL}", grouped(rest));
        Case::error("further failures".to_owned(), found)
    });
    rows.take(FAILURES).map(failed).chain(rest)
}

/// Writes a suite for each run, one for the images and one for failures.
fn write_evaluation(evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut report = JunitWriter::start(out, "classify evaluate")?;
    let of_images: Vec<Case> = evaluation.truth_gate().iter().map(Case::gate).collect();
    report.suite_unless_empty("ground truth", &of_images)?;
    for (index, run, _) in evaluation.evaluated() {
        let gates = evaluation.gates(index);
        let has_dropped = gates
            .iter()
            .any(|gate| gate.name == Gate::MAX_DROP && !gate.passed && !gate.is_open);
        let gates = gates.iter().map(Case::gate);
        let values = evaluation.values(index).into_iter();
        let values = values.map(|(name, value)| Case {
            output: Some(value),
            ..Case::new(name, None)
        });
        // New errors are failures only if the gate on the drop failed.
        let new_errors = changed(
            changes::new_errors(evaluation, index),
            "new errors",
            has_dropped,
        );
        let corrected = changed(
            changes::corrected(evaluation, index),
            "corrected images",
            false,
        );
        let remarks = evaluation.remark_rows().into_iter();
        let remarks = remarks.filter(|(of, _)| *of == xml(&run.name));
        let remarks = remarks.map(|(_, text)| Case {
            output: Some(text),
            ..Case::new("remark".to_owned(), None)
        });
        let cases = gates
            .chain(remarks)
            .chain(values)
            .chain(new_errors)
            .chain(corrected);
        report.suite(&run.name, &cases.collect::<Vec<_>>())?;
    }
    let runs = evaluation.runs.iter().filter_map(|run| {
        let error = run.results.as_ref().err()?;
        Some(Case::error(run.name.clone(), error.clone()))
    });
    let failures = failures(evaluation.failure_rows(), evaluation.failures.len());
    let errors: Vec<Case> = runs.chain(failures).collect();
    report.suite_unless_empty("could not evaluate", &errors)?;
    Ok(report.finish()?)
}

/// Returns the cases of the first changed images, which come with the largest changes first. `what` names them.
fn changed(
    images: impl ExactSizeIterator<Item = (String, String)>,
    what: &str,
    fails: bool,
) -> impl Iterator<Item = Case> {
    let rest = images.len().saturating_sub(IMAGES);
    let rest = (rest > 0).then(|| {
        let found = format!(
            "{} more {what} have no case, those with smaller changes; {ALL}",
            grouped(rest)
        );
        Case::rest(&format!("further {what}"), found, fails)
    });
    let listed = images.take(IMAGES).map(move |(name, what)| Case {
        output: Some(what.clone()),
        ..Case::new(name, fails.then_some(what))
    });
    listed.chain(rest)
}

/// A test case.
struct Case {
    name: String,
    outcome: Outcome,
    /// The text of its element `system-out`.
    output: Option<String>,
}

enum Outcome {
    Passed,
    /// The check failed, with this message.
    Failed(String),
    /// The check could not run, for this reason.
    Error(String),
}

impl Case {
    /// Returns a case that passed, or failed with a message.
    fn new(name: String, failed: Option<String>) -> Self {
        Self {
            name,
            outcome: failed.map_or(Outcome::Passed, Outcome::Failed),
            output: None,
        }
    }

    /// Returns a case that could not run.
    fn error(name: String, message: String) -> Self {
        Self {
            name,
            outcome: Outcome::Error(message),
            output: None,
        }
    }

    /// Returns the case that stands for the images without one.
    fn rest(name: &str, found: String, fails: bool) -> Self {
        Self {
            output: Some(found.clone()),
            ..Self::new(name.to_owned(), fails.then_some(found))
        }
    }

    /// Returns the case of a gate.
    fn gate(gate: &Gate) -> Self {
        let found_of_gate = || gate.found.clone();
        Self {
            name: format!("gate {}", gate.name),
            outcome: match gate {
                Gate { passed: true, .. } => Outcome::Passed,
                Gate { is_open: true, .. } => Outcome::Error(found_of_gate()),
                _ => Outcome::Failed(found_of_gate()),
            },
            output: Some(found(&gate.found, gate.remark.as_deref())),
        }
    }
}

/// Writes a report.
struct JunitWriter<W: Write> {
    writer: Writer<W>,
}

impl<W: Write> JunitWriter<W> {
    fn start(out: W, name: &str) -> io::Result<Self> {
        let mut writer = Writer::new_with_indent(out, b' ', 1);
        writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let start = BytesStart::new("testsuites").with_attributes([("name", name)]);
        writer.write_event(Event::Start(start))?;
        Ok(Self { writer })
    }

    fn suite(&mut self, name: &str, cases: &[Case]) -> anyhow::Result<()> {
        let is_failed = |case: &&Case| matches!(case.outcome, Outcome::Failed(_));
        let is_error = |case: &&Case| matches!(case.outcome, Outcome::Error(_));
        let failures = cases.iter().filter(is_failed).count();
        let errors = cases.iter().filter(is_error).count();
        let name = xml(name);
        let start = BytesStart::new("testsuite").with_attributes([
            ("name", &*name),
            ("tests", &cases.len().to_string()),
            ("failures", &failures.to_string()),
            ("errors", &errors.to_string()),
        ]);
        self.writer.write_event(Event::Start(start))?;
        for case in cases {
            self.case(&name, case)?;
        }
        self.writer
            .write_event(Event::End(BytesEnd::new("testsuite")))
            .context("cannot write the JUnit report")
    }

    fn suite_unless_empty(&mut self, name: &str, cases: &[Case]) -> anyhow::Result<()> {
        if cases.is_empty() {
            return Ok(());
        }
        self.suite(name, cases)
    }

    fn case(&mut self, suite: &str, case: &Case) -> io::Result<()> {
        let name = xml(&case.name);
        let element = self
            .writer
            .create_element("testcase")
            .with_attributes([("name", &*name), ("classname", suite)]);
        let child = match &case.outcome {
            Outcome::Passed => None,
            Outcome::Failed(message) => Some(("failure", xml(message))),
            Outcome::Error(message) => Some(("error", xml(message))),
        };
        if child.is_none() && case.output.is_none() {
            element.write_empty()?;
            return Ok(());
        }
        element.write_inner_content(|writer| {
            if let Some((kind, message)) = child {
                let element = writer.create_element(kind);
                element
                    .with_attribute(("message", &*message))
                    .write_empty()?;
            }
            if let Some(output) = &case.output {
                let element = writer.create_element("system-out");
                element.write_text_content(BytesText::new(&xml(output)))?;
            }
            Ok(())
        })?;
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.writer
            .write_event(Event::End(BytesEnd::new("testsuites")))?;
        self.writer.into_inner().write_all(b"\n")
    }
}

/// Returns `text` for XML, which has neither control characters nor U+FFFE and U+FFFF.
fn xml(text: impl fmt::Display) -> String {
    printable(&text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_it_is_markup() {
        let mut out = Vec::new();
        let mut junit = JunitWriter::start(&mut out, "classify compare").unwrap();
        let cases = [
            Case::new("a.jpg".to_owned(), None),
            Case::new(
                "<b>\u{7}\".jpg".to_owned(),
                Some("1 < 2 & \"3\"".to_owned()),
            ),
            Case::error("c.jpg".to_owned(), "]]>".to_owned()),
            Case::gate(&Gate {
                found: "<all>".to_owned(),
                remark: Some("few".to_owned()),
                ..Gate::new("top1", true, String::new())
            }),
        ];
        junit.suite("a & b", &cases).unwrap();
        junit.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        for part in [
            r#"<testsuite name="a &amp; b" tests="4" failures="1" errors="1">"#,
            r#"<testcase name="a.jpg" classname="a &amp; b"/>"#,
            r#"message="1 &lt; 2 &amp; &quot;3&quot;""#,
            r#"<error message="]]&gt;"/>"#,
            "<system-out>&lt;all&gt;; few</system-out>",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("<b>") && !text.contains('\u{7}'), "{text}");
    }

    #[test]
    fn any_text_is_well_formed() {
        // Every character that a file name can have, in each place that holds text.
        let all: Vec<char> = (1..=u32::from(char::MAX))
            .filter_map(char::from_u32)
            .collect();
        for part in all.chunks(1 << 16) {
            let text: String = part.iter().collect();
            let mut out = Vec::new();
            let mut junit = JunitWriter::start(&mut out, "classify compare").unwrap();
            let cases = [
                Case::new(text.clone(), Some(text.clone())),
                Case::error(text.clone(), text.clone()),
                Case::gate(&Gate {
                    found: text.clone(),
                    remark: Some(text.clone()),
                    ..Gate::new("top1", true, String::new())
                }),
            ];
            junit.suite(&text, &cases).unwrap();
            junit.finish().unwrap();
            let written = String::from_utf8(out).unwrap();
            let document = roxmltree::Document::parse(&written).unwrap();
            let names: Vec<_> = document
                .descendants()
                .filter_map(|node| node.attribute("name"))
                .collect();
            let expected = printable(&text);
            assert_eq!(names[1..4], [expected.as_str(); 3]);
            assert_eq!(names.len(), 5);
        }
    }
}
