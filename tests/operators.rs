//! Every engine on models of one operator each, against ONNX's reference evaluator. `data/operators.csv` states what
//! is not equal to it; a result that the table does not state fails, a repaired one too.
//!
//! A regular run takes every second case. `OPERATORS=all` takes all; `OPERATORS=write` does and writes the table and
//! `docs/operators.md` as the engines are now. Deviations without a reason fail until somebody has written one.

// What was measured is part of what a test run shows.
#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backend_api::{Error, ErrorKind, InferBackend, InferRequest, PerformanceHint, Tensor};
use backend_onnx::{OnnxBackend, OnnxConfig};
use backend_openvino::{OpenvinoBackend, OpenvinoConfig};
use backend_rten::{RtenBackend, RtenConfig};
use classify_tests::{Needs, checkout, ensure, library_dirs, python};
use libtest_mimic::{Arguments, Failed};
use serde_json::Value;

fn main() {
    let arguments = Arguments::from_args();
    let needs = Needs::engine(&backend_openvino::find_library(None, &library_dirs()))
        .and(&Needs::engine(&backend_onnx::find_library(
            None,
            &library_dirs(),
        )))
        .and(&Needs::set_up());
    let trials = vec![needs.test("every_operator_is_as_the_table_says", the_table_is_true)];
    libtest_mimic::run(&arguments, trials).exit();
}

/// The engines, and the versions that the table is of. Another version is run, but not compared with it.
const ENGINES: [(&str, &str, &str); 3] = [
    ("onnx", "ONNX Runtime", "1.31.1"),
    ("openvino", "OpenVINO", "2026.4.1"),
    ("rten", "RTen", "0.27.0"),
];
const REFERENCE: &str = "reference";

/// One model of the suite.
#[derive(Debug)]
struct Case {
    operator: String,
    opset: u64,
    variant: String,
    model: PathBuf,
    input: Tensor,
    output_shape: Vec<usize>,
    output: Vec<f32>,
    /// The largest difference, relative to the largest right value.
    tolerance: f32,
}

impl Case {
    fn read(directory: &Path, line: &str) -> Result<Self, Failed> {
        let line: Value = serde_json::from_str(line)?;
        let numbers = |key: &str| -> Vec<u64> {
            let array = line[key].as_array().expect("an array");
            array.iter().filter_map(Value::as_u64).collect()
        };
        let floats = |key: &str| -> Vec<f32> {
            let bits = numbers(key).into_iter();
            let bits = bits.map(|bits| u32::try_from(bits).expect("32 bits"));
            bits.map(f32::from_bits).collect()
        };
        let shape = |key: &str| -> Vec<usize> {
            let sizes = numbers(key).into_iter().map(usize::try_from);
            sizes.collect::<Result<_, _>>().expect("sizes")
        };
        let text = |key: &str| line[key].as_str().expect("text").to_owned();
        Ok(Self {
            operator: text("operator"),
            opset: line["opset"].as_u64().expect("an opset"),
            variant: text("variant"),
            model: directory.join(text("model")),
            input: Tensor::new(shape("input_shape"), floats("input"))?,
            output_shape: shape("output_shape"),
            output: floats("output"),
            tolerance: line["tolerance"].as_f64().expect("a tolerance") as f32,
        })
    }

    fn key(&self, engine: &str) -> Key {
        (
            self.operator.clone(),
            self.opset,
            self.variant.clone(),
            engine.to_owned(),
        )
    }

    /// Returns whether an engine's output is `right`.
    fn equals(&self, output: &Tensor, right: &[f32]) -> bool {
        let values = output.to_f32();
        let finite = right.iter().filter(|value| value.is_finite());
        let largest = finite.map(|value| value.abs()).fold(0.0, f32::max);
        output.shape() == self.output_shape
            && values.iter().zip(right).all(|(value, right)| {
                value == right
                    || value.is_nan() && right.is_nan()
                    || (value - right).abs() <= self.tolerance * largest
            })
    }

    /// Returns whether an engine's output is `right`, except for numbers in the place of NaN.
    fn equals_without_nan(&self, output: &Tensor, right: &[f32]) -> bool {
        let values = output.to_f32();
        let pairs = values.iter().zip(right);
        let right = pairs.map(|(value, right)| if right.is_nan() { value } else { right });
        self.equals(output, &right.copied().collect::<Vec<_>>())
    }
}

/// The result of an engine for a model.
enum Made {
    Output(Tensor),
    /// Not loaded: it is a model that the engine does not support. What the error says.
    Refused(String),
    /// Not loaded for another reason.
    LoadError,
    /// Loaded, but not run.
    Fails,
}

/// Runs a model; the engine's version is none where the model is not loaded.
fn run(engine: &str, case: &Case) -> (Made, Option<String>) {
    let opened = match engine {
        "onnx" => {
            let mut config = OnnxConfig::new(&case.model);
            config.library_dirs = library_dirs();
            (config.options.requests, config.options.threads) = (Some(1), Some(1));
            OnnxBackend::open(&config).map(|backend| Arc::new(backend) as Arc<dyn InferBackend>)
        }
        "openvino" => {
            let mut config = OpenvinoConfig::new(&case.model);
            config.library_dirs = library_dirs();
            (config.options.requests, config.options.threads) = (Some(1), Some(1));
            config.options.hint = PerformanceHint::Latency;
            OpenvinoBackend::open(&config).map(|backend| Arc::new(backend) as Arc<dyn InferBackend>)
        }
        _ => {
            let mut config = RtenConfig::new(&case.model);
            (config.options.requests, config.options.threads) = (Some(1), Some(1));
            RtenBackend::open(&config).map(|backend| Arc::new(backend) as Arc<dyn InferBackend>)
        }
    };
    let backend = match opened {
        Ok(backend) => backend,
        Err(error) if error.kind() == ErrorKind::ModelUnsupported => {
            return (Made::Refused(fault(&error)), None);
        }
        Err(_) => return (Made::LoadError, None),
    };
    let request = InferRequest::new(0, Arc::new(case.input.clone()));
    let made = futures_executor::block_on(async { backend.submit(request).await?.await });
    let made = made.map_or(Made::Fails, |output| Made::Output(output.tensor));
    (made, Some(backend.info().engine_version.clone()))
}

/// Returns the reason of RTen's guard, without the operator and the file.
fn fault(error: &Error) -> String {
    let said = error.to_string();
    let said = said.strip_prefix("the operator ").unwrap_or_default();
    let fault = said.split_once(": ").map(|(_, fault)| fault);
    let fault = fault.and_then(|fault| fault.rsplit_once(" (model: "));
    fault.map(|(fault, _)| fault.to_owned()).unwrap_or_default()
}

/// Operator, opset, variant, engine (or `reference`).
type Key = (String, u64, String, String);

/// A row of the table: a case that is not equal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    /// - `refused`: not loaded, as a model that the engine does not support.
    /// - `load-error`: not loaded, otherwise.
    /// - `fails`: loaded, and the first inference is an error.
    /// - `nan`: on some processors numbers where NaN is right, otherwise equal.
    /// - `deviates`: other numbers.
    /// - `processor`: other numbers on some processors.
    result: String,
    reason: String,
}

impl Row {
    fn new(result: &str, reason: &str) -> Self {
        Self {
            result: result.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

const HEADER: &str = "operator,opset,variant,engine,result,reason";

fn read_table(path: &Path) -> Result<BTreeMap<Key, Row>, Failed> {
    let mut rows = BTreeMap::new();
    let text = fs::read_to_string(path)?;
    ensure(text.lines().next() == Some(HEADER), "the table's header")?;
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.splitn(6, ',').collect();
        let [operator, opset, variant, engine, result, reason] = fields[..] else {
            return Err(format!("not a row of the table: {line}").into());
        };
        let variant = variant.replace(';', ",");
        let key = (
            operator.to_owned(),
            opset.parse()?,
            variant,
            engine.to_owned(),
        );
        let twice = rows.insert(key, Row::new(result, reason));
        ensure(twice.is_none(), ("twice in the table", line))?;
    }
    Ok(rows)
}

fn written_table(rows: &BTreeMap<Key, Row>) -> String {
    let mut text = format!("{HEADER}\n");
    for ((operator, opset, variant, engine), row) in rows {
        let variant = variant.replace(',', ";");
        let Row { result, reason } = row;
        let _ = writeln!(
            text,
            "{operator},{opset},{variant},{engine},{result},{reason}"
        );
    }
    text
}

/// Compares what the engines made of one model with its right output; returns what is not equal. Where the reference
/// evaluator is wrong, two engines have to agree against it.
fn judge(case: &Case, made: &[Made; 3], reference_is_wrong: bool) -> Vec<(Key, Row)> {
    let mut right = case.output.clone();
    let mut found = Vec::new();
    if reference_is_wrong {
        let outputs: Vec<&Tensor> = made
            .iter()
            .filter_map(|made| match made {
                Made::Output(output) if output.shape() == case.output_shape => Some(output),
                _ => None,
            })
            .collect();
        let agreed = outputs.iter().map(|output| output.to_f32()).find(|values| {
            let equal = outputs.iter().filter(|other| case.equals(other, values));
            equal.count() >= 2
        });
        if let Some(agreed) = agreed {
            found.push((case.key(REFERENCE), Row::new("deviates", "")));
            right = agreed.into_owned();
        }
    }
    for ((engine, ..), made) in ENGINES.iter().zip(made) {
        let row = match made {
            Made::Output(output) if case.equals(output, &right) => continue,
            Made::Output(output) if case.equals_without_nan(output, &right) => Row::new("nan", ""),
            Made::Output(_) => Row::new("deviates", ""),
            Made::Refused(fault) => Row::new("refused", fault),
            Made::LoadError => Row::new("load-error", ""),
            Made::Fails => Row::new("fails", ""),
        };
        found.push((case.key(engine), row));
    }
    found
}

/// The findings of all cases that were run.
#[derive(Debug, Default)]
struct Found {
    rows: BTreeMap<Key, Row>,
    /// Engines of another version than the table's.
    others: BTreeSet<String>,
}

fn run_all(cases: &[&Case], table: &BTreeMap<Key, Row>, write: bool) -> Found {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Found::default();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let made = ENGINES.map(|(engine, _, version)| {
                let (made, actual) = run(engine, case);
                let other = actual.filter(|actual| !actual.starts_with(version));
                found.others.extend(other.map(|_| engine.to_owned()));
                made
            });
            let nobody_is_right = || {
                !made.iter().any(|made| {
                    matches!(made, Made::Output(output) if case.equals(output, &case.output))
                })
            };
            let known = table.contains_key(&case.key(REFERENCE));
            let wrong = known || write && nobody_is_right();
            found.rows.extend(judge(case, &made, wrong));
        }
        found
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut found = work();
        let other = other.join().expect("no panic");
        found.rows.extend(other.rows);
        found.others.extend(other.others);
        found
    })
}

fn the_table_is_true() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    println!("{}", python("operators.py", [directory.path()])?.trim());
    let manifest = fs::read_to_string(directory.path().join("manifest.jsonl"))?;
    let cases = manifest
        .lines()
        .map(|line| Case::read(directory.path(), line))
        .collect::<Result<Vec<_>, _>>()?;
    let mode = std::env::var("OPERATORS").unwrap_or_default();
    let write = mode == "write";
    let step = if write || mode == "all" { 1 } else { 2 };
    let chosen: Vec<&Case> = cases.iter().step_by(step).collect();
    let path = checkout().join("tests/data/operators.csv");
    let mut table = read_table(&path)?;

    let found = run_all(&chosen, &table, write);
    println!("{} models were run", chosen.len());
    for engine in &found.others {
        println!("{engine} has another version than the table's and is not compared with it");
    }
    if write {
        table = renewed(&table, found.rows.clone());
        fs::write(&path, written_table(&table))?;
    }
    let ran: BTreeSet<Key> = chosen.iter().flat_map(|case| keys(case)).collect();
    let known: BTreeSet<Key> = cases.iter().flat_map(keys).collect();
    let mut wrong = Vec::new();
    for key in &ran {
        let (said, is) = (table.get(key), found.rows.get(key));
        let of_reference = key.3 == REFERENCE;
        let another = found.others.contains(&key.3) || of_reference && !found.others.is_empty();
        if !another && !agrees(said, is) {
            wrong.push(format!(
                "{key:?}: the table says {said:?}, but it is {is:?}"
            ));
        }
    }
    for (key, row) in &table {
        let (operator, opset, variant, engine) = key;
        let place = format!("{operator},{opset},{variant},{engine}");
        if !known.contains(key) {
            wrong.push(format!("{place}: there is no such case"));
        }
        let deviates = ["deviates", "processor"].contains(&row.result.as_str());
        if deviates && row.reason.is_empty() {
            wrong.push(format!("{place}: it has no reason"));
        }
        if deviates && engine == "rten" {
            wrong.push(format!(
                "{place}: backend-rten must reject models that RTen computes differently"
            ));
        }
    }
    let page = checkout().join("docs/operators.md");
    let text = written_page(&table, &cases);
    if write {
        fs::write(&page, &text)?;
    } else if fs::read_to_string(&page)? != text {
        wrong.push("docs/operators.md is not what OPERATORS=write makes of the table".to_owned());
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("{} wrong:\n{}", wrong.len(), wrong.join("\n")).into())
    }
}

fn keys(case: &Case) -> [Key; 4] {
    let [onnx, openvino, rten] = ENGINES.map(|(engine, ..)| case.key(engine));
    [onnx, openvino, rten, case.key(REFERENCE)]
}

/// Returns whether a row of the table is true. Reasons of deviations are written by hand; RTen's guard states its own.
fn agrees(said: Option<&Row>, is: Option<&Row>) -> bool {
    match (said, is) {
        (None, None) => true,
        // NaN comes out of one vector code and not of another.
        (Some(said), None) => ["processor", "nan"].contains(&said.result.as_str()),
        (Some(said), Some(is)) if is.result == "refused" => said == is,
        (Some(said), Some(is)) => {
            said.result == is.result || said.result == "processor" && is.result == "deviates"
        }
        (None, Some(_)) => false,
    }
}

/// The table as the engines are, with the reasons that it had.
fn renewed(table: &BTreeMap<Key, Row>, found: BTreeMap<Key, Row>) -> BTreeMap<Key, Row> {
    let on_some = table.iter().filter(|(_, row)| row.result == "processor");
    let mut rows: BTreeMap<Key, Row> = on_some
        .map(|(key, row)| (key.clone(), row.clone()))
        .collect();
    for (key, row) in found {
        let old = table.get(&key);
        let old = old.filter(|old| row.result != "refused" && agrees(Some(old), Some(&row)));
        let row = old.cloned().unwrap_or(row);
        rows.insert(key, row);
    }
    rows
}

/// The rows of one kind together: how many cases, of which operators.
#[derive(Default)]
struct Group {
    cases: usize,
    operators: BTreeSet<String>,
}

fn written_page(table: &BTreeMap<Key, Row>, cases: &[Case]) -> String {
    let operators: BTreeSet<&str> = cases.iter().map(|case| &case.operator[..]).collect();
    let mut text = format!(
        "# Operators\n\n\
         `tests/operators.rs` makes {} models of one operator each ({} operators of ONNX, with every definition of\n\
         opsets 7 to 26), runs them on all engines, and compares the outputs with ONNX's reference evaluator: within 1e-4\n\
         of the largest value, and exactly for operators that return integers. `tests/data/operators.csv` lists every\n\
         case that is not equal. The test checks that table and this page;\n\
         `OPERATORS=write cargo test -p classify-tests --test operators` updates them.\n\n\
         | engine | equal | rejected | does not load | fails | NaN lost | deviates |\n|---|---|---|---|---|---|---|\n",
        cases.len(),
        operators.len()
    );
    for (engine, name, version) in ENGINES {
        let rows = || table.iter().filter(|(key, _)| key.3 == engine);
        let of = |result: &str| rows().filter(|(_, row)| row.result == result).count();
        let _ = writeln!(
            text,
            "| {name} {version} | {} | {} | {} | {} | {} | {} |",
            cases.len() - rows().count(),
            of("refused"),
            of("load-error"),
            of("fails"),
            of("nan"),
            of("deviates") + of("processor"),
        );
    }
    text.push_str(
        "\nRejected: a typed error at loading says that the engine does not support the model. Does not load: another\n\
         error at loading. Fails: an error at the first inference. NaN lost: the engine returns a number instead of NaN.\n\
         Deviates: the engine returns other numbers.\n\n\
         `backend-rten` rejects models that RTen computes differently, so RTen never deviates; only NaN may be lost.\n",
    );
    let section = |text: &mut String, title: &str, engine: &str, results: &[&str]| {
        let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
        for ((operator, _, _, of), row) in table {
            if of == engine && results.contains(&row.result.as_str()) && !row.reason.is_empty() {
                let group = groups.entry(&row.reason).or_default();
                group.cases += 1;
                group.operators.insert(operator.clone());
            }
        }
        let _ = write!(
            text,
            "\n## {title}\n\n| operators | cases | |\n|---|---|---|\n"
        );
        for (reason, group) in groups {
            let operators: Vec<_> = group.operators.into_iter().collect();
            let _ = writeln!(
                text,
                "| {} | {} | {reason} |",
                operators.join(", "),
                group.cases
            );
        }
    };
    let other = ["deviates", "processor"];
    section(&mut text, "ONNX Runtime deviates", "onnx", &other);
    section(&mut text, "OpenVINO deviates", "openvino", &other);
    section(&mut text, "Rejected for RTen", "rten", &["refused"]);
    text.push_str(
        "\nOperators and attributes that RTen's own loader rejects are not in this list.\n",
    );
    section(
        &mut text,
        "The reference evaluator deviates, and the engines agree",
        REFERENCE,
        &other,
    );
    text
}
