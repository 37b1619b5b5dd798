//! What a comparison found.

use std::fmt::Write as _;
use std::path::PathBuf;

use image_classification::{Labels, Ranked};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Map, Value, json};

use super::{Document, cell, html, xml};
use crate::agreement::{Difference, Gate, Majority, Pair, Row, Tolerance, Verdict};
use crate::bisect::Bisection;
use crate::digest::Digest;
use crate::facts::{Machine, RunFacts};
use crate::messages::{self, printable};

/// A run of the comparison.
#[derive(Debug, Clone)]
pub struct Lane {
    /// As it was written.
    pub name: String,
    /// What ran, if it could be compared.
    pub facts: Option<RunFacts>,
    /// Why not, else.
    pub error: Option<String>,
}

/// Two runs, compared.
#[derive(Debug)]
pub struct Compared {
    /// Places of the lanes.
    pub reference: usize,
    pub run: usize,
    pub pair: Pair,
    pub tolerance: Tolerance,
    pub gates: Vec<Gate>,
    pub verdict: Verdict,
}

impl Compared {
    pub fn new(reference: usize, run: usize, pair: Pair, tolerance: Tolerance) -> Self {
        Self {
            gates: pair.gates(&tolerance),
            verdict: pair.verdict(&tolerance),
            reference,
            run,
            pair,
            tolerance,
        }
    }
}

/// What could not be compared.
#[derive(Debug)]
pub struct Failure {
    /// Which picture, if it is about one.
    pub picture: Option<usize>,
    /// Which run, if it is about one alone.
    pub run: Option<usize>,
    pub code: &'static str,
    pub message: String,
}

impl Failure {
    /// A picture that no run could be given.
    pub fn picture(picture: usize, error: &anyhow::Error) -> Self {
        Self {
            picture: Some(picture),
            run: None,
            code: messages::code(error),
            message: messages::chain(error),
        }
    }

    /// A run that gave no answer for a picture.
    pub fn run(picture: usize, run: usize, error: &anyhow::Error) -> Self {
        Self {
            run: Some(run),
            ..Self::picture(picture, error)
        }
    }

    /// What is wrong with something that is not about one picture.
    pub fn whole(code: &'static str, message: String) -> Self {
        Self {
            picture: None,
            run: None,
            code,
            message,
        }
    }
}

/// Everything that a comparison found.
pub struct Comparison {
    pub lanes: Vec<Lane>,
    /// The place of the reference.
    pub reference: usize,
    /// Those with the reference first.
    pub pairs: Vec<Compared>,
    pub majority: Option<Majority>,
    pub pictures: Vec<PathBuf>,
    /// How many pictures at least two runs answered.
    pub compared: usize,
    pub failures: Vec<Failure>,
    /// Of the digests of all tensors, in order.
    pub tensors: Digest,
    /// How many of the best classes were compared.
    pub top: usize,
    pub labels: Option<Labels>,
    pub machine: Machine,
    pub bisect: Option<Bisection>,
}

impl Comparison {
    /// The pairs with the reference.
    pub fn against_reference(&self) -> impl Iterator<Item = &Compared> {
        self.pairs
            .iter()
            .filter(|pair| pair.reference == self.reference)
    }

    /// The pair with the worst picture.
    pub fn worst_pair(&self) -> Option<&Compared> {
        let worst = |pair: &Compared| {
            let worst = pair.pair.worst.first()?;
            let delta = worst
                .row
                .values()
                .map_or(f64::INFINITY, |values| values.max_delta);
            Some((pair.verdict == Verdict::Disagree, delta))
        };
        self.against_reference()
            .filter_map(|pair| Some((worst(pair)?, pair)))
            .max_by(|(a, _), (b, _)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))
            .map(|(_, pair)| pair)
    }

    pub fn name(&self, lane: usize) -> String {
        printable(&self.lanes[lane].name)
    }

    pub fn path(&self, picture: usize) -> String {
        printable(&self.pictures[picture].to_string_lossy())
    }

    /// `281 tabby cat 0.9812`.
    pub fn class(&self, ranked: Ranked) -> String {
        let label = self
            .labels
            .as_ref()
            .and_then(|labels| labels.get(ranked.class_id));
        let label = label.map_or_else(String::new, |label| format!(" {}", printable(label)));
        format!("{}{label} {:.4}", ranked.class_id, ranked.score)
    }

    /// What is reported of one picture in words: the best classes and the difference.
    pub fn row(&self, row: &Row) -> String {
        match (&row.difference, row.best) {
            (Difference::Finite(values), Some([one, other])) => {
                let classes = if one.class_id == other.class_id {
                    format!("{}, {:.4}", self.class(one), other.score)
                } else {
                    format!("{}, but {}", self.class(one), self.class(other))
                };
                format!("|Δp| {:.3e}: {classes}", values.max_delta)
            }
            (Difference::NotFinite { reference, run }, _) => {
                format!("not finite: {reference} values of the reference, {run} of the run")
            }
            (Difference::Finite(_), None) => String::new(),
        }
    }

    /// The whole: what could not be compared is worse than what differs, because it hides it.
    pub fn verdict(&self) -> Verdict {
        let incomplete =
            !self.failures.is_empty() || self.lanes.iter().any(|lane| lane.facts.is_none());
        let worst = self.against_reference().map(|pair| pair.verdict).max();
        let only_recorded = self.pairs.is_empty() && self.lanes.len() == 1;
        if incomplete {
            Verdict::CouldNotCompare
        } else if only_recorded {
            Verdict::Agree
        } else {
            worst.unwrap_or(Verdict::CouldNotCompare)
        }
    }

    /// The last line.
    pub fn verdict_line(&self) -> String {
        let runs = |wanted: Verdict| -> Vec<String> {
            self.against_reference()
                .filter(|pair| pair.verdict == wanted)
                .map(|pair| self.name(pair.run))
                .collect()
        };
        let disagree = runs(Verdict::Disagree);
        let reference = self.name(self.reference);
        let differ = if disagree.is_empty() {
            String::new()
        } else {
            let verb = if disagree.len() == 1 {
                "differs"
            } else {
                "differ"
            };
            format!("{} {verb} from {reference}", disagree.join(", "))
        };
        match self.verdict() {
            Verdict::Agree if self.pairs.is_empty() => {
                format!(
                    "RECORDED: {} pictures, nothing was compared",
                    self.pictures.len()
                )
            }
            Verdict::Agree => {
                let gates = self.against_reference().flat_map(|pair| &pair.gates);
                let few = gates.filter(|gate| gate.remark.is_some()).count() > 0;
                format!(
                    "AGREE: {} with {reference} on {}{}",
                    runs(Verdict::Agree).join(", "),
                    counted(self.compared, "picture"),
                    if few {
                        " (too few to establish the share of equal best classes)"
                    } else {
                        ""
                    }
                )
            }
            Verdict::Disagree => {
                let gates: Vec<&str> = self
                    .against_reference()
                    .flat_map(|pair| &pair.gates)
                    .filter(|gate| !gate.passed)
                    .map(|gate| gate.name)
                    .collect();
                let mut unique: Vec<&str> = Vec::new();
                for gate in gates {
                    if !unique.contains(&gate) {
                        unique.push(gate);
                    }
                }
                format!("DISAGREE: {differ} ({})", unique.join(", "))
            }
            Verdict::CouldNotCompare => {
                let failed = self
                    .lanes
                    .iter()
                    .filter(|lane| lane.facts.is_none())
                    .count();
                let mut parts = Vec::new();
                if failed > 0 {
                    parts.push(format!("{failed} of {} runs failed", self.lanes.len()));
                }
                if let Some(first) = self.failures.first() {
                    let named = first
                        .picture
                        .map_or_else(String::new, |picture| format!("{}: ", self.path(picture)));
                    parts.push(format!(
                        "{} of {} compared, {}, the first: {named}{}",
                        self.compared,
                        counted(self.pictures.len(), "picture"),
                        counted(self.failures.len(), "failure"),
                        first.message
                    ));
                }
                if !differ.is_empty() {
                    parts.push(differ);
                }
                if parts.is_empty() {
                    parts.push("nothing was compared".to_owned());
                }
                format!("COULD NOT COMPARE: {}", parts.join("; "))
            }
        }
    }

    /// What three or more runs say of each other.
    pub fn majority_line(&self) -> Option<String> {
        let others = |others: &[usize]| {
            let names: Vec<_> = others.iter().map(|lane| self.name(*lane)).collect();
            names.join(", ")
        };
        Some(match self.majority.as_ref()? {
            Majority::All => "all runs agree with each other".to_owned(),
            Majority::Most { others: off } => {
                format!(
                    "{} is off: the other runs agree with each other",
                    others(off)
                )
            }
            Majority::None => {
                "no majority: no more than half of the runs agree with each other".to_owned()
            }
        })
    }

    /// How pictures were prepared, on one line.
    pub fn input(&self) -> String {
        let facts = self.lanes[self.reference].facts.as_ref();
        let input = facts.map_or(&[][..], |facts| &facts.input);
        let values: Vec<_> = input
            .iter()
            .map(|(key, value)| format!("{key} {value}"))
            .collect();
        values.join(", ")
    }

    /// The report on stdout.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (index, lane) in self.lanes.iter().enumerate() {
            let kind = if index == self.reference {
                "reference"
            } else {
                "run"
            };
            let name = printable(&lane.name);
            let what = match (&lane.facts, &lane.error) {
                (Some(facts), _) => facts.description(),
                (None, error) => format!(
                    "FAILED: {}",
                    error.as_deref().unwrap_or("it could not be opened")
                ),
            };
            let _ = writeln!(text, "{kind:<10} {name}: {}", printable(&what));
            if let Some(facts) = &lane.facts {
                let _ = writeln!(
                    text,
                    "           {}, SHA-256 {}",
                    printable(&facts.model),
                    facts.model_sha256
                );
            }
        }
        let _ = writeln!(text, "input      {}", self.input());
        let _ = writeln!(
            text,
            "tensors    {} pictures, each one tensor for all runs; SHA-256 of all {}",
            self.pictures.len(),
            self.tensors
        );
        for pair in self.against_reference() {
            self.pair_text(pair, &mut text);
        }
        for pair in self
            .pairs
            .iter()
            .filter(|pair| pair.reference != self.reference)
        {
            let verdict = if pair.verdict == Verdict::Agree {
                "agree"
            } else {
                "do not agree"
            };
            let _ = writeln!(
                text,
                "\n{} and {} {verdict}",
                self.name(pair.reference),
                self.name(pair.run)
            );
        }
        if let Some(majority) = self.majority_line() {
            let _ = writeln!(text, "\nmajority   {majority}");
        }
        if let Some(bisect) = &self.bisect {
            let _ = write!(text, "\n{}", bisect.text());
        }
        let _ = writeln!(text, "\n{}", self.verdict_line());
        text
    }

    fn pair_text(&self, compared: &Compared, text: &mut String) {
        let Compared {
            reference,
            run,
            pair,
            tolerance,
            gates,
            ..
        } = compared;
        let _ = writeln!(
            text,
            "\n{} against {}, the {} best classes; tolerance {tolerance}",
            self.name(*run),
            self.name(*reference),
            self.top
        );
        for (name, value) in pair.rates() {
            let _ = writeln!(text, "  {name:<26}{value}");
        }
        let _ = writeln!(
            text,
            "  {:<26}{:>10} {:>10} {:>10} {:>10} {:>10}",
            "", "mean", "p50", "p90", "p99", "max"
        );
        for (_, name, d) in pair.distributions() {
            let _ = writeln!(
                text,
                "  {name:<26}{:>10.3e} {:>10.3e} {:>10.3e} {:>10.3e} {:>10.3e}",
                d.mean, d.p50, d.p90, d.p99, d.max
            );
        }
        let _ = writeln!(text, "  worst pictures");
        for worst in &pair.worst {
            let _ = writeln!(
                text,
                "    {}: {}",
                self.path(worst.row.picture),
                self.row(&worst.row)
            );
        }
        for gate in gates {
            let word = if gate.passed { "passed" } else { "FAILED" };
            let _ = writeln!(text, "  {word} {}: {}", gate.name, gate.found);
            if let Some(remark) = &gate.remark {
                let _ = writeln!(text, "         {remark}");
            }
        }
    }

    fn pair_json(&self, compared: &Compared) -> Value {
        let Compared {
            reference,
            run,
            pair,
            tolerance,
            gates,
            verdict,
        } = compared;
        let distributions: Map<String, Value> = pair
            .distributions()
            .into_iter()
            .map(|(key, _, distribution)| (key.to_owned(), json!(distribution)))
            .collect();
        let picture = |row: &Row| {
            let mut value = json!({
                "path": self.pictures[row.picture].to_string_lossy(),
                "within": row.within(tolerance),
            });
            if let Some([one, other]) = row.best {
                value["reference"] = json!({ "class_id": one.class_id, "score": one.score });
                value["run"] = json!({ "class_id": other.class_id, "score": other.score });
            }
            match &row.difference {
                Difference::Finite(values) => {
                    if let (Value::Object(value), Value::Object(values)) =
                        (&mut value, json!(values))
                    {
                        value.extend(values);
                    }
                }
                Difference::NotFinite { reference, run } => {
                    value["not_finite"] = json!({ "reference": reference, "run": run });
                }
            }
            value
        };
        json!({
            "reference": self.lanes[*reference].name,
            "run": self.lanes[*run].name,
            "verdict": verdict,
            "tolerance": tolerance,
            "gates": gates,
            "top1_match": pair.rate(|values| values.top1_match),
            "ordered_match": pair.rate(|values| values.ordered_match),
            "ordered_match_but_ties": pair.rate(|values| values.ordered_match_but_ties),
            "overlap": pair.overlap(),
            "not_finite": pair.not_finite(),
            "distributions": distributions,
            "worst": pair.worst.iter().map(|worst| worst.row.picture).collect::<Vec<_>>(),
            "pictures": pair.rows.iter().map(picture).collect::<Vec<_>>(),
        })
    }
}

impl Document for Comparison {
    fn json(&self) -> Value {
        let majority = self.majority.as_ref().map(|majority| {
            let off = match majority {
                Majority::Most { others } => others.clone(),
                _ => Vec::new(),
            };
            json!({
                "found": match majority {
                    Majority::All => "all",
                    Majority::Most { .. } => "most",
                    Majority::None => "none",
                },
                "off": off.iter().map(|lane| self.lanes[*lane].name.clone()).collect::<Vec<_>>(),
            })
        });
        json!({
            "schema_version": 1,
            "kind": "compare",
            "verdict": self.verdict(),
            "summary": self.verdict_line(),
            "machine": self.machine,
            "top": self.top,
            "tensors_sha256": self.tensors,
            "pictures": self.pictures.len(),
            "compared": self.compared,
            "runs": self.lanes.iter().enumerate().map(|(index, lane)| json!({
                "name": lane.name,
                "reference": index == self.reference,
                "facts": lane.facts,
                "error": lane.error,
            })).collect::<Vec<_>>(),
            "pairs": self.pairs.iter().map(|pair| self.pair_json(pair)).collect::<Vec<_>>(),
            "majority": majority,
            "failures": self.failures.iter().map(|failure| json!({
                "path": failure.picture.map(|picture| self.pictures[picture].to_string_lossy()),
                "run": failure.run.map(|run| self.lanes[run].name.clone()),
                "code": failure.code,
                "message": failure.message,
            })).collect::<Vec<_>>(),
            "bisect": self.bisect,
        })
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "### classify compare\n\n**{}**\n",
            cell(self.verdict_line())
        );
        let _ = writeln!(
            text,
            "\n| run | engine | SHA-256 of the model |\n|---|---|---|"
        );
        for (index, lane) in self.lanes.iter().enumerate() {
            let reference = if index == self.reference {
                " (reference)"
            } else {
                ""
            };
            let (what, model) = match &lane.facts {
                Some(facts) => (facts.description(), facts.model_sha256.to_string()),
                None => (lane.error.clone().unwrap_or_default(), String::new()),
            };
            let _ = writeln!(
                text,
                "| {}{reference} | {} | {} |",
                cell(&lane.name),
                cell(what),
                short(&model)
            );
        }
        for compared in self.against_reference() {
            let Compared {
                reference,
                run,
                pair,
                tolerance,
                gates,
                ..
            } = compared;
            let _ = writeln!(
                text,
                "\n#### {} against {}\n\nTolerance {}.\n\n| gate | | found |\n|---|---|---|",
                cell(self.name(*run)),
                cell(self.name(*reference)),
                cell(tolerance)
            );
            for gate in gates {
                let word = if gate.passed { "passed" } else { "**FAILED**" };
                let remark = gate
                    .remark
                    .as_ref()
                    .map_or_else(String::new, |remark| format!("; {remark}"));
                let _ = writeln!(
                    text,
                    "| {} | {word} | {} |",
                    gate.name,
                    cell(format!("{}{remark}", gate.found))
                );
            }
            let _ = writeln!(text, "\n| | value |\n|---|---|");
            for (name, value) in pair.rates() {
                let _ = writeln!(text, "| {name} | {value} |");
            }
            for (_, name, d) in pair.distributions() {
                let _ = writeln!(
                    text,
                    "| {} | p50 {:.3e}, p99 {:.3e}, max {:.3e} |",
                    cell(name),
                    d.p50,
                    d.p99,
                    d.max
                );
            }
            let _ = writeln!(text, "\n| worst pictures | |\n|---|---|");
            for worst in &pair.worst {
                let _ = writeln!(
                    text,
                    "| {} | {} |",
                    cell(self.path(worst.row.picture)),
                    cell(self.row(&worst.row))
                );
            }
        }
        if let Some(majority) = self.majority_line() {
            let _ = writeln!(text, "\nMajority: {}.", cell(majority));
        }
        if let Some(bisect) = &self.bisect {
            let _ = writeln!(text, "\n```text\n{}```", bisect.text().replace('`', "'"));
        }
        let _ = writeln!(text, "\n{}", cell(self.machine.description()));
        text
    }

    fn junit(&self) -> quick_junit::Report {
        let mut report = quick_junit::Report::new("classify compare");
        for compared in self.against_reference() {
            let name = xml(format!(
                "{} against {}",
                self.name(compared.run),
                self.name(compared.reference)
            ));
            let mut suite = TestSuite::new(name.clone());
            for gate in &compared.gates {
                suite.add_test_case(gate_case(gate, &name));
            }
            for row in &compared.pair.rows {
                let failed = (!row.within(&compared.tolerance)).then(|| self.row(row));
                suite.add_test_case(case(self.path(row.picture), &name, failed));
            }
            report.add_test_suite(suite);
        }
        let mut suite = TestSuite::new("could not compare");
        for lane in self.lanes.iter().filter(|lane| lane.facts.is_none()) {
            let message = lane.error.clone().unwrap_or_default();
            suite.add_test_case(error_case(printable(&lane.name), message));
        }
        for failure in &self.failures {
            let name = failure
                .picture
                .map_or_else(|| failure.code.to_owned(), |picture| self.path(picture));
            suite.add_test_case(error_case(name, failure.message.clone()));
        }
        if suite.test_cases.is_empty() {
            return report;
        }
        report.add_test_suite(suite);
        report
    }

    fn html(&self) -> anyhow::Result<String> {
        html::comparison(self)
    }
}

/// `1 picture`, `28 pictures`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The first digits of a hash.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// A test case for a gate.
pub fn gate_case(gate: &Gate, suite: &str) -> TestCase {
    let failed = (!gate.passed).then(|| gate.found.clone());
    let mut case = case(format!("gate {}", gate.name), suite, failed);
    let remark = gate
        .remark
        .as_ref()
        .map_or_else(String::new, |remark| format!("; {remark}"));
    case.set_system_out(xml(format!("{}{remark}", gate.found)));
    case
}

/// A test case that failed with a message, or did not.
pub fn case(name: String, suite: &str, failed: Option<String>) -> TestCase {
    let status = failed.map_or_else(TestCaseStatus::success, |message| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(xml(message));
        status
    });
    let mut case = TestCase::new(xml(name), status);
    case.set_classname(suite.to_owned());
    case
}

/// A test case that could not run.
pub fn error_case(name: String, message: String) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(xml(message));
    let mut case = TestCase::new(xml(name), status);
    case.set_classname("could not compare");
    case
}
