//! What a comparison found.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use image_classification::{Labels, Ranked};
use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::junit::{Case, Junit, Totals};
use super::{Document, cell, class, html};
use crate::bisect::Bisection;
use crate::facts::{Machine, RunFacts};
use crate::lanes::differences;
use crate::messages::{self, counted, printable};
use evaluation::Digest;
use evaluation::Duplicates;
use evaluation::agreement::{
    Basis, Difference, Gate, Majority, Pair, Row, Tolerance, Variation, Verdict,
};
use evaluation::statistics::{Distribution, Rate};

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
    pub gates: Vec<Gate>,
    pub verdict: Verdict,
    /// Key in the JSON, name, values.
    pub distributions: Vec<(&'static str, &'static str, Distribution)>,
}

impl Compared {
    /// What is known when all images were added.
    pub fn new(
        reference: usize,
        run: usize,
        pair: Pair,
        variation: &Variation,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            gates: pair.gates(variation),
            verdict: pair.verdict(variation),
            distributions: pair.distributions()?,
            reference,
            run,
            pair,
        })
    }
}

/// What could not be compared.
#[derive(Debug)]
pub struct Failure {
    /// Which image, if it is about one.
    pub image: Option<usize>,
    /// Which run, if it is about one alone.
    pub run: Option<usize>,
    pub code: &'static str,
    pub message: String,
}

impl Failure {
    /// An image that no run could be given.
    pub fn image(image: usize, error: &anyhow::Error) -> Self {
        Self {
            image: Some(image),
            run: None,
            code: messages::code(error),
            message: messages::chain(error),
        }
    }

    /// A run that gave no answer for an image.
    pub fn run(image: usize, run: usize, error: &anyhow::Error) -> Self {
        Self {
            run: Some(run),
            ..Self::image(image, error)
        }
    }

    /// What is wrong with something that is not about one image.
    pub fn whole(code: &'static str, message: String) -> Self {
        Self {
            image: None,
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
    pub images: Vec<PathBuf>,
    /// How many images at least two runs answered.
    pub compared: usize,
    /// The tolerance of all pairs, and why this one.
    pub tolerance: Tolerance,
    pub tolerance_by: String,
    pub duplicates: Duplicates,
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

    /// The pair with the worst image.
    pub fn worst_pair(&self) -> Option<&Compared> {
        let worst = |pair: &Compared| {
            let worst = pair.pair.worst.first()?;
            let delta = worst.row.values().map_or(f64::INFINITY, |values| {
                values.max_delta.or(values.relative_error).unwrap_or(0.0)
            });
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

    pub fn path(&self, image: usize) -> String {
        printable(&self.images[image].to_string_lossy())
    }

    /// `281 tabby cat 0.9812`.
    pub fn class(&self, ranked: Ranked) -> String {
        let class = class(self.labels.as_ref(), ranked.class_id);
        format!("{class} {:.4}", ranked.score)
    }

    /// What is reported of one image in words: the best classes and the difference.
    pub fn row(&self, row: &Row) -> String {
        match (&row.difference, row.best) {
            (Difference::Finite(values), Some([one, other])) => {
                let classes = if one.class_id == other.class_id {
                    format!("{}, {:.4}", self.class(one), other.score)
                } else {
                    format!("{}, but {}", self.class(one), self.class(other))
                };
                match (values.max_delta, values.max_logit_delta) {
                    (Some(delta), Some(logit)) => {
                        format!("|Δp| {delta:.3e}, |Δlogit| {logit:.3e}: {classes}")
                    }
                    (Some(delta), None) => format!("|Δp| {delta:.3e}: {classes}"),
                    (None, _) => classes,
                }
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
            Verdict::Recorded
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
            Verdict::Recorded => {
                format!(
                    "RECORDED: {}, nothing was compared",
                    counted(self.images.len(), "image")
                )
            }
            Verdict::Agree => {
                let gates = self.against_reference().flat_map(|pair| &pair.gates);
                let few = gates.filter(|gate| gate.remark.is_some()).count() > 0;
                format!(
                    "AGREE: {} with {reference} on {}{}",
                    runs(Verdict::Agree).join(", "),
                    counted(self.compared, "image"),
                    if few {
                        " (too few images to establish the share of equal best classes)"
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
                        .image
                        .map_or_else(String::new, |image| format!("{}: ", self.path(image)));
                    parts.push(format!(
                        "{} of {} compared, {}, the first: {named}{}",
                        self.compared,
                        counted(self.images.len(), "image"),
                        counted(self.failures.len(), "failure"),
                        first.message
                    ));
                }
                if !differ.is_empty() {
                    parts.push(differ);
                }
                let uninformative = runs(Verdict::CouldNotCompare);
                if !uninformative.is_empty() {
                    parts.push(format!(
                        "{} matches {reference}, but the answers do not depend on the image or all classes tie \
                         ({}); agreement proves nothing",
                        uninformative.join(", "),
                        Gate::INFORMATIVE
                    ));
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

    /// The runs that take the pixels in another form than the reference, a line each; none if all take one tensor.
    pub fn tensor_notes(&self) -> Vec<String> {
        let Some(reference) = &self.lanes[self.reference].facts else {
            return Vec::new();
        };
        let notes = self.lanes.iter().filter_map(|lane| {
            let differences = differences(reference, lane.facts.as_ref()?);
            let differences: Vec<String> = differences
                .into_iter()
                .filter(|(key, ..)| *key != "batch")
                .map(|(key, value, other)| format!("{key} {other} (reference: {value})"))
                .collect();
            (!differences.is_empty()).then(|| {
                printable(&format!(
                    "{} receives the same pixels in its own form: {}",
                    lane.name,
                    differences.join(", ")
                ))
            })
        });
        notes.collect()
    }

    /// How images were prepared, on one line.
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
            "tensors    {}; SHA-256 of all {}",
            counted(self.images.len(), "image"),
            self.tensors
        );
        for note in self.tensor_notes() {
            let _ = writeln!(text, "           {note}");
        }
        let _ = writeln!(
            text,
            "tolerance  {} ({})",
            self.tolerance,
            printable(&self.tolerance_by)
        );
        if let Some(duplicates) = self.duplicates.line(&self.images) {
            let _ = writeln!(text, "duplicates {duplicates}");
        }
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
            gates,
            distributions,
            ..
        } = compared;
        let _ = writeln!(
            text,
            "\n{} against {}, the {} best classes; {}",
            self.name(*run),
            self.name(*reference),
            self.top,
            match pair.basis {
                Basis::Logits => "probabilities and logits",
                Basis::Probabilities => "probabilities",
                Basis::Outputs => "outputs as they are",
                Basis::ClassIds => "class ids alone",
            }
        );
        for (name, value) in pair.rates() {
            let _ = writeln!(text, "  {name:<26}{value}");
        }
        let _ = writeln!(
            text,
            "  {:<26}{:>10} {:>10} {:>10} {:>10} {:>10}",
            "", "mean", "p50", "p90", "p99", "max"
        );
        for (_, name, d) in distributions {
            let _ = writeln!(
                text,
                "  {name:<26}{:>10.3e} {:>10.3e} {:>10.3e} {:>10.3e} {:>10.3e}",
                d.mean, d.p50, d.p90, d.p99, d.max
            );
        }
        let _ = writeln!(text, "  worst images");
        for worst in &pair.worst {
            let _ = writeln!(
                text,
                "    {}: {}",
                self.path(worst.row.image),
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
}

/// The report for machines. Its images are read one after the other.
#[derive(Serialize)]
struct ComparisonJson<'a> {
    schema_version: u32,
    kind: &'static str,
    verdict: Verdict,
    summary: String,
    machine: &'a Machine,
    top: usize,
    /// The runs that take the same pixels in another form.
    tensor_notes: Vec<String>,
    tolerance: Tolerance,
    tolerance_by: &'a str,
    tensors_sha256: Digest,
    #[serde(rename = "pictures")]
    images: usize,
    compared: usize,
    runs: Vec<Value>,
    majority: Option<Value>,
    duplicates: Vec<Value>,
    failures: Vec<Value>,
    bisect: Option<&'a Bisection>,
    pairs: Vec<PairJson<'a>>,
}

#[derive(Serialize)]
struct PairJson<'a> {
    reference: &'a str,
    run: &'a str,
    verdict: Verdict,
    tolerance: Tolerance,
    basis: Basis,
    gates: &'a [Gate],
    top1_match: Rate,
    top1_match_but_ties: Rate,
    ordered_match: Rate,
    ordered_match_but_ties: Rate,
    identical_text: Rate,
    overlap: f64,
    not_finite: usize,
    distributions: Map<String, Value>,
    /// Places in the inputs.
    worst: Vec<usize>,
    #[serde(rename = "pictures")]
    images: ImagesJson<'a>,
}

impl<'a> PairJson<'a> {
    fn new(comparison: &'a Comparison, compared: &'a Compared) -> Self {
        let Compared {
            reference,
            run,
            pair,
            gates,
            verdict,
            distributions,
        } = compared;
        Self {
            reference: &comparison.lanes[*reference].name,
            run: &comparison.lanes[*run].name,
            verdict: *verdict,
            tolerance: pair.tolerance,
            basis: pair.basis,
            gates,
            top1_match: pair.top1_match(),
            top1_match_but_ties: pair.top1_match_but_ties(),
            ordered_match: pair.ordered_match(),
            ordered_match_but_ties: pair.ordered_match_but_ties(),
            identical_text: pair.identical_text(),
            overlap: pair.overlap(),
            not_finite: pair.not_finite(),
            distributions: distributions
                .iter()
                .map(|(key, _, distribution)| ((*key).to_owned(), json!(distribution)))
                .collect(),
            worst: pair.worst.iter().map(|worst| worst.row.image).collect(),
            images: ImagesJson { comparison, pair },
        }
    }
}

struct ImagesJson<'a> {
    comparison: &'a Comparison,
    pair: &'a Pair,
}

impl Serialize for ImagesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.pair.rows.len()))?;
        for row in self.pair.rows.iter() {
            let row = row.map_err(S::Error::custom)?;
            list.serialize_element(&self.image(&row))?;
        }
        list.end()
    }
}

impl ImagesJson<'_> {
    fn image(&self, row: &Row) -> Value {
        let mut value = json!({
            "path": self.comparison.images[row.image].to_string_lossy(),
            "within": row.within(&self.pair.tolerance, self.pair.basis),
        });
        if let Some([one, other]) = row.best {
            value["reference"] = json!(one);
            value["run"] = json!(other);
        }
        match &row.difference {
            Difference::Finite(values) => {
                value["overlap"] = json!(values.overlap());
                // The name in version 0.1.0.
                value["telling"] = json!(values.informative);
                if let (Value::Object(value), Value::Object(values)) = (&mut value, json!(values)) {
                    value.extend(values);
                }
            }
            Difference::NotFinite { reference, run } => {
                value["not_finite"] = json!({ "reference": reference, "run": run });
            }
        }
        value
    }
}

impl Document for Comparison {
    fn json(&self, out: &mut dyn Write) -> anyhow::Result<()> {
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
        let report = ComparisonJson {
            schema_version: 1,
            kind: "compare",
            verdict: self.verdict(),
            summary: self.verdict_line(),
            machine: &self.machine,
            top: self.top,
            tensor_notes: self.tensor_notes(),
            tolerance: self.tolerance,
            tolerance_by: &self.tolerance_by,
            tensors_sha256: self.tensors,
            images: self.images.len(),
            compared: self.compared,
            runs: self
                .lanes
                .iter()
                .enumerate()
                .map(|(index, lane)| {
                    json!({
                        "name": lane.name,
                        "reference": index == self.reference,
                        "facts": lane.facts,
                        "error": lane.error,
                    })
                })
                .collect(),
            pairs: self
                .pairs
                .iter()
                .map(|pair| PairJson::new(self, pair))
                .collect(),
            majority,
            duplicates: self.duplicates.json(&self.images),
            failures: self
                .failures
                .iter()
                .map(|failure| {
                    json!({
                        "path": failure.image.map(|image| self.images[image].to_string_lossy()),
                        "run": failure.run.map(|run| self.lanes[run].name.clone()),
                        "code": failure.code,
                        "message": failure.message,
                    })
                })
                .collect(),
            bisect: self.bisect.as_ref(),
        };
        Ok(serde_json::to_writer_pretty(out, &report)?)
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
                gates,
                distributions,
                ..
            } = compared;
            let _ = writeln!(
                text,
                "\n#### {} against {}\n\nTolerance {}.\n\n| gate | | found |\n|---|---|---|",
                cell(self.name(*run)),
                cell(self.name(*reference)),
                cell(pair.tolerance)
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
            for (_, name, d) in distributions {
                let _ = writeln!(
                    text,
                    "| {} | p50 {:.3e}, p99 {:.3e}, max {:.3e} |",
                    cell(name),
                    d.p50,
                    d.p99,
                    d.max
                );
            }
            let _ = writeln!(text, "\n| worst images | |\n|---|---|");
            for worst in &pair.worst {
                let _ = writeln!(
                    text,
                    "| {} | {} |",
                    cell(self.path(worst.row.image)),
                    cell(self.row(&worst.row))
                );
            }
        }
        if let Some(duplicates) = self.duplicates.line(&self.images) {
            let _ = writeln!(text, "\nDuplicates: {}.", cell(duplicates));
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

    fn junit(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut report = Junit::start(out, "classify compare")?;
        for compared in self.against_reference() {
            let Compared { pair, gates, .. } = compared;
            let name = format!(
                "{} against {}",
                self.name(compared.run),
                self.name(compared.reference)
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
                let failed = (!row.within(&pair.tolerance, pair.basis)).then(|| self.row(&row));
                Ok(Case::new(self.path(row.image), failed))
            });
            report.suite(&name, totals, gates.chain(images))?;
        }
        let lanes = self
            .lanes
            .iter()
            .filter(|lane| lane.facts.is_none())
            .map(|lane| {
                let message = lane.error.clone().unwrap_or_default();
                Ok(Case::error(lane.name.clone(), message))
            });
        let failures = self.failures.iter().map(|failure| {
            let name = failure
                .image
                .map_or_else(|| failure.code.to_owned(), |image| self.path(image));
            Ok(Case::error(name, failure.message.clone()))
        });
        let errors = lanes.clone().count() + self.failures.len();
        if errors > 0 {
            let totals = Totals {
                tests: errors,
                errors,
                failures: 0,
            };
            report.suite("could not compare", totals, lanes.chain(failures))?;
        }
        Ok(report.finish()?)
    }

    fn html(&self) -> anyhow::Result<String> {
        html::comparison(self)
    }
}

/// The first digits of a hash.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
