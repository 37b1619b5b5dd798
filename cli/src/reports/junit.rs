//! The JUnit report. Its test cases are written one by one, because there may be one for each image.

use std::fmt;
use std::io::{self, Write};

use anyhow::Context as _;
use evaluation::agreement::Gate;
use evaluation::{ComparedPair, ComparisonReport, EvaluationReport};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::wording::{ComparisonText as _, EvaluationText as _, FailureRow, found};
use super::{Exporter, changes};
use evaluation::text::printable;

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

fn write_comparison(comparison: &ComparisonReport, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut report = JunitWriter::start(out, "classify compare")?;
    for compared in comparison.against_reference() {
        let ComparedPair { pair, gates, .. } = compared;
        let name = format!(
            "{} against {}",
            comparison.name(compared.run),
            comparison.name(compared.reference)
        );
        let failed_gates = gates.iter().filter(|gate| !gate.passed).count();
        let totals = Totals {
            tests: gates.len() + pair.rows.len(),
            failures: failed_gates + pair.beyond(),
            errors: 0,
        };
        let gates = gates.iter().map(|gate| Ok(Case::gate(gate)));
        let images = pair.rows.iter().map(|row| {
            let row = row?;
            let failed = (!row.within(&pair.tolerance, pair.basis)).then(|| comparison.row(&row));
            Ok(Case::new(comparison.path(row.image), failed))
        });
        report.suite(&name, totals, gates.chain(images))?;
    }
    let runs = comparison.runs.iter().filter_map(|run| {
        let message = run.info.as_ref().err()?;
        Some(Ok(Case::error(run.name.clone(), message.clone())))
    });
    let failures = comparison.failure_rows().map(|row| Ok(failed(&row)));
    let errors = runs.clone().count() + comparison.failures.len();
    if errors > 0 {
        let totals = Totals {
            tests: errors,
            errors,
            failures: 0,
        };
        report.suite("could not compare", totals, runs.chain(failures))?;
    }
    Ok(report.finish()?)
}

/// Returns the case of a failure.
fn failed(row: &FailureRow) -> Case {
    Case::error(row.name().to_owned(), row.message.clone())
}

/// Writes a suite for each run, one for the images and one for failures.
fn write_evaluation(evaluation: &EvaluationReport, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut report = JunitWriter::start(out, "classify evaluate")?;
    if let Some(gate) = evaluation.truth_gate() {
        let totals = Totals {
            tests: 1,
            failures: usize::from(!gate.passed),
            errors: 0,
        };
        report.suite("ground truth", totals, [Ok(Case::gate(&gate))])?;
    }
    for (index, run, _) in evaluation.evaluated() {
        let gates = evaluation.gates(index);
        let values = evaluation.values(index);
        let changed = changes::cases(evaluation, index);
        let has_dropped = gates
            .iter()
            .any(|gate| gate.name == Gate::MAX_DROP && !gate.passed);
        // New errors are failures only if the gate on the drop failed.
        let fails = move |is_error: bool| is_error && has_dropped;
        let new_errors = changed.clone().filter(|(.., is_error)| fails(*is_error));
        let totals = Totals {
            tests: gates.len() + values.len() + changed.len(),
            failures: gates.iter().filter(|gate| !gate.passed).count() + new_errors.count(),
            errors: 0,
        };
        let changed = changed.map(|(name, what, is_error)| {
            Ok(Case {
                output: Some(what.clone()),
                ..Case::new(name, fails(is_error).then_some(what))
            })
        });
        let gates = gates.iter().map(|gate| Ok(Case::gate(gate)));
        let values = values.into_iter().map(|(name, value)| {
            Ok(Case {
                output: Some(value),
                ..Case::new(name, None)
            })
        });
        report.suite(&run.name, totals, gates.chain(values).chain(changed))?;
    }
    let runs = evaluation.runs.iter().filter_map(|run| {
        let error = run.results.as_ref().err()?;
        Some(Ok(Case::error(run.name.clone(), error.clone())))
    });
    let failures = evaluation.failure_rows().map(|row| Ok(failed(&row)));
    let errors = runs.clone().count() + evaluation.failures.len();
    if errors > 0 {
        let totals = Totals {
            tests: errors,
            errors,
            failures: 0,
        };
        report.suite("could not evaluate", totals, runs.chain(failures))?;
    }
    Ok(report.finish()?)
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

    /// Returns the case of a gate.
    fn gate(gate: &Gate) -> Self {
        let failed = (!gate.passed).then(|| gate.found.clone());
        Self {
            output: Some(found(gate)),
            ..Self::new(format!("gate {}", gate.name), failed)
        }
    }
}

/// The numbers of cases in a suite. They are attributes of its start element.
#[derive(Clone, Copy, Default)]
struct Totals {
    tests: usize,
    failures: usize,
    errors: usize,
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

    fn suite(
        &mut self,
        name: &str,
        totals: Totals,
        cases: impl IntoIterator<Item = anyhow::Result<Case>>,
    ) -> anyhow::Result<()> {
        let Totals {
            tests,
            failures,
            errors,
        } = totals;
        let name = xml(name);
        let start = BytesStart::new("testsuite").with_attributes([
            ("name", &*name),
            ("tests", &tests.to_string()),
            ("failures", &failures.to_string()),
            ("errors", &errors.to_string()),
        ]);
        self.writer.write_event(Event::Start(start))?;
        let mut written = 0;
        for case in cases {
            self.case(&name, &case?)?;
            written += 1;
        }
        debug_assert_eq!(written, tests, "{name}");
        self.writer
            .write_event(Event::End(BytesEnd::new("testsuite")))
            .context("cannot write the JUnit report")
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
                name: "top1",
                passed: true,
                found: "<all>".to_owned(),
                remark: Some("few".to_owned()),
            }),
        ];
        let totals = Totals {
            tests: 4,
            failures: 1,
            errors: 1,
        };
        junit.suite("a & b", totals, cases.map(Ok)).unwrap();
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
                    name: "top1",
                    passed: true,
                    found: text.clone(),
                    remark: Some(text.clone()),
                }),
            ];
            let totals = Totals {
                tests: 3,
                failures: 1,
                errors: 1,
            };
            junit.suite(&text, totals, cases.map(Ok)).unwrap();
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
