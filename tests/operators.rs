//! Every engine on models of one operator each, against ONNX's reference evaluator. `data/operators.csv` states what
//! is not equal to it; a result that the table does not state fails, a repaired one too.
//!
//! `OPERATORS=write` writes the table and `docs/operators.md` as the engines are now. Rows that are new have no reason,
//! which fails until somebody has written one.

// What was measured is part of what a test run shows.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backend_api::{Error, ErrorKind, InferBackend, InferRequest, PerformanceHint, Tensor};
use backend_onnx::{OnnxBackend, OnnxConfig};
use backend_openvino::{OpenvinoBackend, OpenvinoConfig};
use backend_rten::{RtenBackend, RtenConfig};
use classify_tests::{Needs, checkout, ensure, python};
use libtest_mimic::{Arguments, Failed};
use serde_json::Value;

fn main() {
    let arguments = Arguments::from_args();
    let needs = Needs::engine(&backend_openvino::find_library(None))
        .and(&Needs::engine(&backend_onnx::find_library(None)))
        .and(&Needs::set_up());
    let trials = vec![needs.test("every_operator_is_as_the_table_says", the_table_is_true)];
    libtest_mimic::run(&arguments, trials).exit();
}

const ENGINES: [&str; 3] = ["onnx", "openvino", "rten"];

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
    fn read(folder: &Path, line: &str) -> Result<Self, Failed> {
        let line: Value = serde_json::from_str(line)?;
        let numbers = |key: &str| -> Vec<u64> {
            let array = line[key].as_array().expect("an array");
            array.iter().filter_map(Value::as_u64).collect()
        };
        let floats = |key: &str| -> Vec<f32> {
            let bits = numbers(key)
                .into_iter()
                .map(|bits| u32::try_from(bits).expect("32 bits"));
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
            model: folder.join(text("model")),
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

    /// Whether an engine's output is `right`.
    fn equals(&self, output: &Tensor, right: &[f32]) -> bool {
        let values = output.to_f32();
        let largest = right.iter().copied().filter(|value| value.is_finite());
        let largest = largest.map(f32::abs).fold(0.0, f32::max);
        output.shape() == self.output_shape
            && values.len() == right.len()
            && values.iter().zip(right).all(|(value, right)| {
                value == right
                    || value.is_nan() && right.is_nan()
                    || (value - right).abs() <= self.tolerance * largest
            })
    }
}

/// What an engine made of a model.
#[derive(Debug)]
enum Made {
    Output(Tensor),
    /// At loading, with the kind for models that the engine does not have.
    Refused(String),
    /// At loading, otherwise.
    LoadError(String),
    Fails(String),
}

fn run(engine: &str, case: &Case) -> Made {
    let opened = match engine {
        "onnx" => {
            let mut config = OnnxConfig::new(&case.model);
            (config.requests, config.threads) = (Some(1), Some(1));
            OnnxBackend::open(&config).map(|backend| Arc::new(backend) as Arc<dyn InferBackend>)
        }
        "openvino" => {
            let mut config = OpenvinoConfig::new(&case.model);
            (config.requests, config.threads) = (Some(1), Some(1));
            config.hint = PerformanceHint::Latency;
            OpenvinoBackend::open(&config).map(|backend| Arc::new(backend) as Arc<dyn InferBackend>)
        }
        _ => {
            let mut config = RtenConfig::new(&case.model);
            (config.requests, config.threads) = (Some(1), Some(1));
            RtenBackend::open(&config).map(|backend| Arc::new(backend) as Arc<dyn InferBackend>)
        }
    };
    let said = |error: &Error| format!("{error:#?}");
    let backend = match opened {
        Ok(backend) => backend,
        Err(error) if error.kind() == ErrorKind::ModelUnsupported => {
            return Made::Refused(said(&error));
        }
        Err(error) => return Made::LoadError(said(&error)),
    };
    let request = InferRequest::new(0, Arc::new(case.input.clone()));
    match futures_executor::block_on(async { backend.submit(request).await?.await }) {
        Ok(output) => Made::Output(output.tensor),
        Err(error) => Made::Fails(said(&error)),
    }
}

/// Operator, opset, variant, engine (or `reference`).
type Key = (String, u64, String, String);

/// What the table says of something that is not equal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    result: String,
    reason: String,
}

fn read_table(path: &Path) -> Result<BTreeMap<Key, Row>, Failed> {
    let mut rows = BTreeMap::new();
    for line in fs::read_to_string(path)?.lines().skip(1) {
        let fields: Vec<&str> = line.splitn(6, ',').collect();
        let [operator, opset, variant, engine, result, reason] = fields[..] else {
            return Err(format!("not a row of the table: {line}").into());
        };
        let key = (
            operator.to_owned(),
            opset.parse()?,
            variant.replace(';', ","),
            engine.to_owned(),
        );
        let row = Row {
            result: result.to_owned(),
            reason: reason.to_owned(),
        };
        ensure(
            rows.insert(key, row).is_none(),
            ("twice in the table", line),
        )?;
    }
    Ok(rows)
}

fn written_table(rows: &BTreeMap<Key, Row>) -> String {
    let mut text = String::from("operator,opset,variant,engine,result,reason\n");
    for ((operator, opset, variant, engine), Row { result, reason }) in rows {
        let variant = variant.replace(',', ";");
        let _ = writeln!(
            text,
            "{operator},{opset},{variant},{engine},{result},{reason}"
        );
    }
    text
}

/// Compares what the engines made of one model with its right output; returns what is not equal.
fn judge(case: &Case, made: &[Made; 3], table: &BTreeMap<Key, Row>) -> Vec<(Key, String)> {
    let mut right = &case.output[..];
    let mut found = Vec::new();
    let agreed;
    if table.contains_key(&case.key("reference")) {
        // The reference evaluator is known to be wrong: two engines have to agree.
        let outputs = made.iter().filter_map(|made| match made {
            Made::Output(output) => Some(output),
            _ => None,
        });
        let outputs: Vec<_> = outputs.map(|output| (output, output.to_f32())).collect();
        let agreeing = outputs.iter().find(|(output, values)| {
            let equal = outputs
                .iter()
                .filter(|(other, _)| case.equals(other, values));
            output.shape() == case.output_shape && equal.count() >= 2
        });
        if let Some((_, values)) = agreeing {
            agreed = values.clone();
            if !agreed
                .iter()
                .zip(right)
                .all(|(a, b)| a.to_bits() == b.to_bits())
            {
                found.push((case.key("reference"), "deviates".to_owned()));
            }
            right = &agreed;
        }
    }
    for (engine, made) in ENGINES.iter().zip(made) {
        let result = match made {
            Made::Output(output) if case.equals(output, right) => continue,
            Made::Output(_) => "deviates",
            Made::Refused(_) => "refused",
            Made::LoadError(_) => "load-error",
            Made::Fails(_) => "fails",
        };
        found.push((case.key(engine), result.to_owned()));
    }
    found
}

fn the_table_is_true() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    println!("{}", python("operators.py", [folder.path()])?.trim());
    let manifest = fs::read_to_string(folder.path().join("manifest.jsonl"))?;
    let cases = manifest
        .lines()
        .map(|line| Case::read(folder.path(), line))
        .collect::<Result<Vec<_>, _>>()?;
    let path = checkout().join("tests/data/operators.csv");
    let write = std::env::var_os("OPERATORS").is_some_and(|value| value == "write");
    let table = if path.exists() {
        read_table(&path)?
    } else {
        BTreeMap::new()
    };

    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let made = ENGINES.map(|engine| run(engine, case));
            if std::env::var_os("OPERATORS_SHOW").is_some() {
                for (engine, made) in ENGINES.iter().zip(&made) {
                    match made {
                        Made::Output(output) if case.equals(output, &case.output) => {}
                        Made::Output(output) => println!(
                            "SHOW\t{:?}\tdeviates\t{:?}\t{:?}\tright {:?} {:?}",
                            case.key(engine),
                            output.shape(),
                            output.to_f32(),
                            case.output_shape,
                            case.output
                        ),
                        other => println!("SHOW\t{:?}\t{:?}", case.key(engine), other),
                    }
                }
            }
            found.extend(judge(case, &made, &table));
        }
        found
    };
    let found: BTreeMap<Key, String> = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut found = work();
        found.extend(other.join().expect("no panic"));
        found.into_iter().collect()
    });
    if write {
        let rows: BTreeMap<Key, Row> = found
            .iter()
            .map(|(key, result)| {
                let old = table.get(key).filter(|row| row.result == *result);
                let reason = old.map(|row| row.reason.clone()).unwrap_or_default();
                (
                    key.clone(),
                    Row {
                        result: result.clone(),
                        reason,
                    },
                )
            })
            .collect();
        fs::write(&path, written_table(&rows))?;
    }
    Ok(())
}
