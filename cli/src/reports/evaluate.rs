//! What an evaluation found.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use image_classification::Labels;
use serde_json::{Value, json};

use super::compare::Failure;
use super::junit::{Case, Junit, Totals};
use super::{Document, cell, html};
use crate::accuracy::{Accuracy, Calibrated};
use crate::agreement::{Gate, Verdict, gate, share_gate};
use crate::facts::{Machine, RunFacts};
use crate::messages::{counted, printable};
use crate::share::{Share, percent};
use crate::statistics::mcnemar;

/// How many confusions and classes are listed for people.
const LISTED: usize = 10;

/// What is asked of every run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    pub min_top1: Option<Share>,
    pub max_drop: Option<Share>,
}

/// A run, evaluated, or why not.
pub struct Evaluated {
    pub name: String,
    /// What ran, what was counted, how often the reference alone and this run alone were right, and the
    /// pictures that are wrong.
    pub found: Result<(RunFacts, Accuracy, [usize; 2], Vec<(usize, usize, usize)>), String>,
}

/// Everything that an evaluation found.
pub struct Evaluation {
    pub runs: Vec<Evaluated>,
    /// The place of the reference.
    pub reference: usize,
    pub pictures: Vec<PathBuf>,
    /// Pictures that the ground truth does not mention.
    pub missing: Vec<usize>,
    /// Entries of the ground truth that no picture has.
    pub surplus: Vec<PathBuf>,
    pub failures: Vec<Failure>,
    /// In which of the best classes the right one counts.
    pub top: Vec<usize>,
    pub limits: Limits,
    pub labels: Option<Labels>,
    pub machine: Machine,
    /// Whether scores are probabilities, for which calibration means something.
    pub is_probability: bool,
}

impl Evaluation {
    /// Each run that was evaluated, with its place.
    pub fn evaluated(&self) -> impl Iterator<Item = (usize, &Evaluated, &RunFacts, &Accuracy)> {
        self.runs.iter().enumerate().filter_map(|(index, run)| {
            let (facts, accuracy, ..) = run.found.as_ref().ok()?;
            Some((index, run, facts, accuracy))
        })
    }

    fn reference(&self) -> Option<&Accuracy> {
        Some(&self.runs[self.reference].found.as_ref().ok()?.1)
    }

    /// Whether the run's limits hold.
    pub fn gates(&self, run: usize) -> Vec<Gate> {
        let Ok((_, accuracy, ..)) = &self.runs[run].found else {
            return Vec::new();
        };
        let mut gates = Vec::new();
        let top1 = accuracy.top(1);
        if let Some(least) = self.limits.min_top1 {
            gates.push(share_gate("min-top1", "top-1", top1, least));
        }
        if let (Some(most), Some(reference)) = (self.limits.max_drop, self.reference())
            && run != self.reference
        {
            let reference = reference.top(1);
            let drop = reference.share - top1.share;
            let found = format!(
                "top-1 {}/{}, {} % against {}/{}, {} %, a drop of {} points, at most {}",
                top1.count,
                top1.of,
                percent(top1.share),
                reference.count,
                reference.of,
                percent(reference.share),
                percent(drop),
                most.to_string().trim_end_matches(" %"),
            );
            let passed = most.allows_drop((reference.count, reference.of), (top1.count, top1.of));
            gates.push(gate("max-drop", passed, found));
        }
        gates
    }

    /// The whole.
    pub fn verdict(&self) -> Verdict {
        let failed = self.runs.iter().any(|run| run.found.is_err());
        if failed || !self.failures.is_empty() {
            Verdict::CouldNotCompare
        } else if (0..self.runs.len())
            .flat_map(|run| self.gates(run))
            .all(|gate| gate.passed)
        {
            Verdict::Agree
        } else {
            Verdict::Disagree
        }
    }

    /// The last line.
    pub fn verdict_line(&self) -> String {
        let failed: Vec<String> = (0..self.runs.len())
            .flat_map(|run| {
                let name = printable(&self.runs[run].name);
                let failed = self.gates(run).into_iter().filter(|gate| !gate.passed);
                failed.map(move |gate| format!("{name}: {}", gate.found))
            })
            .collect();
        match self.verdict() {
            Verdict::Agree
                if self.limits
                    == (Limits {
                        min_top1: None,
                        max_drop: None,
                    }) =>
            {
                format!(
                    "EVALUATED: {}; no gate was asked for (--min-top1, --max-drop)",
                    self.counts()
                )
            }
            Verdict::Agree => {
                let mut gates = (0..self.runs.len()).flat_map(|run| self.gates(run));
                let few = if gates.any(|gate| gate.remark.is_some()) {
                    " (too few images to establish the share)"
                } else {
                    ""
                };
                format!("PASSED: all gates hold{few}; {}", self.counts())
            }
            Verdict::Disagree => format!("FAILED: {}; {}", failed.join("; "), self.counts()),
            Verdict::CouldNotCompare => {
                let runs = self.runs.iter().filter(|run| run.found.is_err()).count();
                let mut text = format!(
                    "COULD NOT EVALUATE: {runs} of {} runs and {} answers failed",
                    self.runs.len(),
                    self.failures.len()
                );
                if !failed.is_empty() {
                    let _ = write!(text, "; {}", failed.join("; "));
                }
                text
            }
        }
    }

    /// How many pictures counted, and what did not.
    fn counts(&self) -> String {
        let with_truth = self.pictures.len() - self.missing.len();
        let mut text = format!(
            "{with_truth} of {} counted",
            counted(self.pictures.len(), "picture")
        );
        if !self.missing.is_empty() {
            let _ = write!(text, ", {} without ground truth", self.missing.len());
        }
        if !self.surplus.is_empty() {
            let _ = write!(
                text,
                ", {} of the ground truth without a picture",
                self.surplus.len()
            );
        }
        text
    }

    /// `281 tabby cat`.
    pub fn class(&self, class_id: usize) -> String {
        super::class(self.labels.as_ref(), class_id)
    }

    pub fn path(&self, picture: usize) -> String {
        printable(&self.pictures[picture].to_string_lossy())
    }

    /// Names and values of what was counted of a run.
    pub fn values(&self, run: usize) -> Vec<(String, String)> {
        let Ok((_, accuracy, only, _)) = &self.runs[run].found else {
            return Vec::new();
        };
        let mut values: Vec<(String, String)> = self
            .top
            .iter()
            .map(|k| (format!("top-{k}"), accuracy.top(*k).to_string()))
            .collect();
        if let Some([low, high]) = accuracy.mean_per_class_interval() {
            values.push((
                "mean per class".to_owned(),
                format!(
                    "{} % of {} (95 %: {} to {})",
                    percent(accuracy.mean_per_class()),
                    match accuracy.classes.len() {
                        1 => "1 class".to_owned(),
                        classes => format!("{classes} classes"),
                    },
                    percent(low),
                    percent(high)
                ),
            ));
        }
        if self.is_probability
            && let Some(Calibrated { mean, p95 }) = accuracy.calibration.calibrated()
        {
            let error = accuracy.calibration.error();
            values.push(("calibration error".to_owned(), format!("{error:.4}")));
            values.push((
                "same, if calibrated".to_owned(),
                format!("mean {mean:.4}, 95th percentile {p95:.4}"),
            ));
        }
        if run != self.reference && self.reference().is_some() {
            let [reference, own] = *only;
            values.push((
                "against the reference".to_owned(),
                format!(
                    "right alone {own}, the reference alone {reference}, McNemar p {}",
                    match mcnemar(reference, own) {
                        p if p < 0.001 => "< 0.001".to_owned(),
                        p => format!("= {p:.3}"),
                    }
                ),
            ));
        }
        values
    }

    /// Names of what was counted, each with its value for every run that was evaluated.
    pub fn side_by_side(&self) -> Vec<(String, Vec<String>)> {
        let runs: Vec<_> = self
            .evaluated()
            .map(|(index, ..)| self.values(index))
            .collect();
        let mut names: Vec<&String> = Vec::new();
        for (name, _) in runs.iter().flatten() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let value = |run: &[(String, String)], name: &String| {
            let found = run.iter().find(|(own, _)| own == name);
            found.map_or_else(String::new, |(_, value)| value.clone())
        };
        names
            .into_iter()
            .map(|name| {
                (
                    name.clone(),
                    runs.iter().map(|run| value(run, name)).collect(),
                )
            })
            .collect()
    }

    /// The run as it was written; which one is the reference is said where there are several.
    pub fn title(&self, index: usize) -> String {
        let is_reference = index == self.reference && self.runs.len() > 1;
        let reference = if is_reference { " (reference)" } else { "" };
        format!("{}{reference}", printable(&self.runs[index].name))
    }

    /// The report on stdout.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (index, run) in self.runs.iter().enumerate() {
            let what = match &run.found {
                Ok((facts, ..)) => format!(
                    "{}\n  {}, SHA-256 {}",
                    printable(&facts.description()),
                    printable(&facts.model),
                    facts.model_sha256
                ),
                Err(error) => format!("FAILED: {error}"),
            };
            let _ = writeln!(text, "{}: {what}", self.title(index));
        }
        let table = self.side_by_side();
        let values = table.iter().flat_map(|(_, values)| values);
        let titles = self.evaluated().map(|(index, ..)| self.title(index));
        let longest = titles
            .map(|title| title.chars().count())
            .chain(values.map(|value| value.chars().count()));
        let width = longest.max().unwrap_or(0) + 2;
        let _ = write!(text, "\n  {:<24}", "");
        for (index, ..) in self.evaluated() {
            let _ = write!(text, "{:<width$}", self.title(index));
        }
        text.push('\n');
        for (name, values) in table {
            let cells: Vec<String> = values
                .iter()
                .map(|value| format!("{value:<width$}"))
                .collect();
            let cells = cells.concat();
            let _ = writeln!(text, "{}", format!("  {name:<24}{cells}").trim_end());
        }
        for (index, _, _, accuracy) in self.evaluated() {
            let confusions = accuracy.confusions(LISTED);
            let _ = writeln!(
                text,
                "\n{}, classes by the share that is right",
                self.title(index)
            );
            for (class_id, of) in accuracy.least_right(LISTED) {
                let class = self.class(class_id);
                let _ = writeln!(text, "  {:>4} of {:>4} {class}", of.top1, of.pictures);
            }
            if accuracy.classes.len() > LISTED {
                let rest = accuracy.classes.len() - LISTED;
                let _ = writeln!(text, "  {rest} more classes are in the JSON report");
            }
            let gates = self.gates(index);
            for (truth, answer, count) in confusions {
                let (truth, answer) = (self.class(truth), self.class(answer));
                let _ = writeln!(text, "  {count:>4} times {truth} was taken for {answer}");
            }
            for gate in gates {
                let word = if gate.passed { "passed" } else { "FAILED" };
                let _ = writeln!(text, "  {word} {}: {}", gate.name, gate.found);
                if let Some(remark) = &gate.remark {
                    let _ = writeln!(text, "         {remark}");
                }
            }
        }
        let _ = writeln!(text, "\n{}", self.verdict_line());
        text
    }

    fn run_json(&self, index: usize) -> Value {
        let run = &self.runs[index];
        let mut value = json!({ "name": run.name, "reference": index == self.reference });
        match &run.found {
            Err(error) => value["error"] = json!(error),
            Ok((facts, accuracy, [reference, own], wrong)) => {
                value["facts"] = json!(facts);
                value["pictures"] = json!(accuracy.pictures);
                let top = self
                    .top
                    .iter()
                    .map(|k| (k.to_string(), json!(accuracy.top(*k))));
                value["top"] = Value::Object(top.collect());
                value["mean_per_class"] = json!(accuracy.mean_per_class());
                value["intervals"] =
                    json!({ "mean_per_class": accuracy.mean_per_class_interval() });
                value["classes"] = accuracy
                    .classes
                    .iter()
                    .map(|(class_id, of)| {
                        json!({
                            "class_id": class_id,
                            "label": self.labels.as_ref().and_then(|labels| labels.get(*class_id)),
                            "pictures": of.pictures,
                            "top1": of.top1,
                        })
                    })
                    .collect();
                value["confusions"] = accuracy
                    .confusions(usize::MAX)
                    .into_iter()
                    .map(|(truth, answer, count)| json!({ "class_id": truth, "taken_for": answer, "count": count }))
                    .collect();
                if self.is_probability {
                    let calibration = &accuracy.calibration;
                    value["expected_calibration_error"] = json!(calibration.error());
                    value["calibrated_expected_calibration_error"] =
                        json!(calibration.calibrated());
                    value["calibration"] = json!(calibration.bins);
                }
                if index != self.reference && self.reference().is_some() {
                    value["against_reference"] = json!({
                        "right_alone": own,
                        "reference_right_alone": reference,
                        "mcnemar_p": mcnemar(*reference, *own),
                    });
                }
                value["gates"] = json!(self.gates(index));
                value["wrong"] = wrong
                    .iter()
                    .map(|(picture, truth, answer)| {
                        json!({
                            "path": self.pictures[*picture].to_string_lossy(),
                            "class_id": truth,
                            "answer": answer,
                        })
                    })
                    .collect();
            }
        }
        value
    }
}

impl Document for Evaluation {
    fn json(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let report = json!({
            "schema_version": 1,
            "kind": "evaluate",
            "verdict": self.verdict(),
            "summary": self.verdict_line(),
            "machine": self.machine,
            "pictures": self.pictures.len(),
            "without_truth": self.missing.iter().map(|picture| self.pictures[*picture].to_string_lossy()).collect::<Vec<_>>(),
            "without_picture": self.surplus.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
            "runs": (0..self.runs.len()).map(|run| self.run_json(run)).collect::<Vec<_>>(),
            "failures": self.failures.iter().map(|failure| json!({
                "path": failure.picture.map(|picture| self.pictures[picture].to_string_lossy()),
                "run": failure.run.map(|run| self.runs[run].name.clone()),
                "code": failure.code,
                "message": failure.message,
            })).collect::<Vec<_>>(),
        });
        Ok(serde_json::to_writer_pretty(out, &report)?)
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "### classify evaluate\n\n**{}**\n",
            cell(self.verdict_line())
        );
        let _ = writeln!(text, "\n| run | engine |\n|---|---|");
        for (index, run) in self.runs.iter().enumerate() {
            let what = match &run.found {
                Ok((facts, ..)) => cell(facts.description()),
                Err(error) => format!("**FAILED**: {}", cell(error)),
            };
            let _ = writeln!(text, "| {} | {what} |", cell(self.title(index)));
        }
        let titles: Vec<String> = self
            .evaluated()
            .map(|(index, ..)| cell(self.title(index)))
            .collect();
        let _ = writeln!(
            text,
            "\n| | {} |\n|---|{}",
            titles.join(" | "),
            "---|".repeat(titles.len())
        );
        for (name, values) in self.side_by_side() {
            let cells: Vec<String> = values.iter().map(cell).collect();
            let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        }
        for (index, _, _, accuracy) in self.evaluated() {
            for gate in self.gates(index) {
                let word = if gate.passed { "passed" } else { "**FAILED**" };
                let remark = gate
                    .remark
                    .map_or_else(String::new, |remark| format!("; {remark}"));
                let _ = writeln!(
                    text,
                    "\n{} {}: {word}, {}",
                    cell(self.title(index)),
                    gate.name,
                    cell(format!("{}{remark}", gate.found))
                );
            }
            let confusions = accuracy.confusions(LISTED);
            if !confusions.is_empty() {
                let _ = writeln!(
                    text,
                    "\n| {} | was taken for | times |\n|---|---|---|",
                    cell(self.title(index))
                );
            }
            for (truth, answer, count) in confusions {
                let (truth, answer) = (cell(self.class(truth)), cell(self.class(answer)));
                let _ = writeln!(text, "| {truth} | {answer} | {count} |");
            }
            let _ = writeln!(
                text,
                "\n| {}: class | right | pictures |\n|---|---|---|",
                cell(self.title(index))
            );
            for (class_id, of) in accuracy.least_right(LISTED) {
                let class = cell(self.class(class_id));
                let _ = writeln!(text, "| {class} | {} | {} |", of.top1, of.pictures);
            }
        }
        let _ = writeln!(text, "\n{}", cell(self.machine.description()));
        text
    }

    fn junit(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut report = Junit::start(out, "classify evaluate")?;
        for (index, run, ..) in self.evaluated() {
            let gates = self.gates(index);
            let values = self.values(index);
            let totals = Totals {
                tests: gates.len() + values.len(),
                failures: gates.iter().filter(|gate| !gate.passed).count(),
                errors: 0,
            };
            let gates = gates.iter().map(|gate| Ok(Case::gate(gate)));
            let values = values.into_iter().map(|(name, value)| {
                Ok(Case {
                    output: Some(value),
                    ..Case::new(name, None)
                })
            });
            report.suite(&run.name, totals, gates.chain(values))?;
        }
        let runs = self.runs.iter().filter_map(|run| {
            let error = run.found.as_ref().err()?;
            Some(Ok(Case::error(run.name.clone(), error.clone())))
        });
        let failures = self.failures.iter().map(|failure| {
            let name = failure
                .picture
                .map_or_else(String::new, |picture| self.path(picture));
            Ok(Case::error(name, failure.message.clone()))
        });
        let errors = runs.clone().count() + self.failures.len();
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

    fn html(&self) -> anyhow::Result<String> {
        html::evaluation(self)
    }
}
