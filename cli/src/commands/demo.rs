//! `classify demo`: a real model and three photos on every engine that is there, and whether the engines agree.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser as _, ValueEnum as _};
use evaluation::Comparison;
use evaluation::agreement::Verdict;
use evaluation::text::printable;
use image_classification::{Classification, Classifier};

use crate::args::{Args, Backend};
use crate::destination::Output;
use crate::engines;
use crate::errors::Hinted;
use crate::install::Wheel;
use crate::options::{ClassifyOptions, EngineOptions};
use crate::process;
use crate::runtimes::set_up_dir;
use crate::terminal::Messages;

/// The photos, which are CC0. The licences are in `xtask/src/notice.rs`.
const PHOTOS: [&str; 3] = ["chelsea.png", "coffee.png", "camera.png"];
/// The photos in the set-up directory, and its default model.
const SET_UP_PHOTOS: &str = "photos";
const SET_UP_MODEL: &str = "models/efficientnet-lite0.onnx";
/// The directory in the Python package, and its model.
const PACKAGE_PHOTOS: &str = "demo";
const PACKAGE_MODEL: &str = "demo/squeezenet1.1.onnx";

/// Prints the results of each engine, the verdict and the next commands.
pub fn run(messages: &mut Messages) -> anyhow::Result<Verdict> {
    let wheel = Wheel::of_program();
    let files = Files::find(wheel.as_ref())?;
    let mut out = Output::open("--output", None)?;
    let mut runs = Vec::new();
    let mut missing = Vec::new();
    let local = Backend::value_variants().iter();
    for backend in local.filter(|backend| **backend != Backend::Remote) {
        let name = name(*backend);
        let options = files.engine_options(&name)?;
        if !engines::is_built_in(*backend) {
            continue;
        }
        if engines::library(&options).is_err() {
            missing.push(name);
            continue;
        }
        match open(&options) {
            Ok(classifier) => runs.push((name, classifier)),
            // An engine that is there must work.
            Err(error) => messages.run_failed(&name, &error),
        }
    }
    if runs.is_empty() {
        return Err(Hinted::new("no engine is installed", install_hint(wheel.as_ref())).into());
    }
    writeln!(
        out,
        "model     {}",
        printable(&files.model.to_string_lossy())
    )?;
    for (name, classifier) in &runs {
        let description = classifier.backend().info().description();
        writeln!(out, "{name:<10}{}", printable(&description))?;
    }
    for name in &missing {
        writeln!(
            out,
            "{name:<10}not installed: {}",
            install_hint(wheel.as_ref())
        )?;
    }
    let mut rows = vec![heading(&runs)];
    for photo in &files.photos {
        let answers: anyhow::Result<Vec<Classification>> = runs
            .iter()
            .map(|(name, classifier)| {
                let answer = classifier.classify_blocking(photo.as_path());
                answer.with_context(|| format!("{name}: {}", photo.display()))
            })
            .collect();
        rows.push(row(photo, &answers?));
    }
    write!(out, "\n{}\n", table(&rows))?;

    let verdict = agreement(&runs, &files, &mut out)?;
    write!(
        out,
        "\nnext:\n{}",
        next_steps(wheel.as_ref(), &runs, &files)
    )?;
    out.finish()?;
    process::leak(runs);
    Ok(if messages.errors() > 0 {
        Verdict::CouldNotCompare
    } else {
        verdict
    })
}

/// Compares all engines with the first, and prints the verdict.
fn agreement(
    runs: &[(String, Classifier)],
    files: &Files,
    out: &mut Output,
) -> anyhow::Result<Verdict> {
    let mut classifiers = runs.iter().map(|(_, classifier)| classifier.clone());
    let (Some(first), true) = (classifiers.next(), runs.len() > 1) else {
        writeln!(out, "one engine only: there is none to compare it with")?;
        return Ok(Verdict::Agree);
    };
    let comparison = Comparison::new(first, classifiers);
    let report = comparison.run_blocking(files.photos.iter().map(PathBuf::as_path))?;
    writeln!(out, "{}", printable(&report.to_string()))?;
    Ok(report.verdict())
}

/// The model and the photos.
#[derive(Debug)]
struct Files {
    model: PathBuf,
    photos: Vec<PathBuf>,
}

impl Files {
    /// Finds the files in the Python package, or else in the set-up directory.
    fn find(wheel: Option<&Wheel>) -> anyhow::Result<Self> {
        let package =
            wheel.map(|wheel| Self::in_directory(&wheel.module, PACKAGE_MODEL, PACKAGE_PHOTOS));
        let set_up =
            set_up_dir().map(|home| Self::in_directory(&home, SET_UP_MODEL, SET_UP_PHOTOS));
        let mut found = package.into_iter().chain(set_up);
        found.find(Self::are_there).ok_or_else(|| {
            let hint = match wheel {
                Some(_) => "build the package with `cargo wheel` in a checkout, which puts them into it, and install it again",
                None => "run `cargo setup` in a checkout, or install the Python package, which `cargo wheel` builds there",
            };
            Hinted::new("the model and the photos of the demo are not here", hint).into()
        })
    }

    fn in_directory(directory: &Path, model: &str, photos: &str) -> Self {
        Self {
            model: directory.join(model),
            photos: PHOTOS.map(|name| directory.join(photos).join(name)).into(),
        }
    }

    fn are_there(&self) -> bool {
        let mut files = std::iter::once(&self.model).chain(&self.photos);
        files.all(|file| file.is_file())
    }

    /// Returns the options of `classify --backend NAME -m MODEL -i PHOTO`.
    fn engine_options(&self, backend: &str) -> anyhow::Result<EngineOptions> {
        let words = ["classify", "--quiet", "--backend", backend, "-m"].map(OsStr::new);
        let files = [
            self.model.as_os_str(),
            OsStr::new("-i"),
            self.photos[0].as_os_str(),
        ];
        let args = Args::try_parse_from(words.into_iter().chain(files))?;
        Ok(ClassifyOptions::try_from(args.classify)?.engine)
    }
}

fn open(options: &EngineOptions) -> anyhow::Result<Classifier> {
    let backend = engines::open(options)?;
    Ok(Classifier::discover(backend, options.model.as_path())?)
}

fn name(backend: Backend) -> String {
    let value = backend.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

fn install_hint(wheel: Option<&Wheel>) -> String {
    match wheel {
        Some(wheel) => wheel.remedy("all"),
        None => "run `cargo setup` in a checkout, or `pip install openvino onnxruntime` in an active Python environment".to_owned(),
    }
}

fn heading(runs: &[(String, Classifier)]) -> Vec<String> {
    let mut cells = vec!["photo".to_owned(), "class".to_owned()];
    cells.extend(runs.iter().map(|(name, _)| name.clone()));
    cells
}

/// Returns the photo, the best class of the first engine, and the best score of each engine; with its class, if an
/// engine has another one.
fn row(photo: &Path, answers: &[Classification]) -> Vec<String> {
    let best = |answer: &Classification| {
        let best = answer.best();
        best.map_or((None, String::new(), 0.0), |it| {
            (
                Some(it.id),
                format!("{} {}", it.id, printable(&it.label)),
                it.score,
            )
        })
    };
    let (id, class, _) = answers.first().map(best).unwrap_or_default();
    let file = photo.file_name().unwrap_or_default().to_string_lossy();
    let mut cells = vec![file.into_owned(), class];
    for answer in answers {
        let (own, class, score) = best(answer);
        let other = if own == id {
            String::new()
        } else {
            format!("{class} ")
        };
        cells.push(format!("{other}{score:.4}"));
    }
    cells
}

/// Aligns the cells: text to the left, scores to the right.
fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            if column < 2 {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Returns three commands for the user's own files.
fn next_steps(wheel: Option<&Wheel>, runs: &[(String, Classifier)], files: &Files) -> String {
    let classify = command(wheel);
    let names: Vec<&str> = runs.iter().map(|(name, _)| &**name).collect();
    let model = quoted(&files.model);
    let backend = names.first().copied().unwrap_or_default();
    // The default needs no flag.
    let flag = match backend {
        "openvino" => String::new(),
        other => format!("--backend {other} "),
    };
    let second = if names.len() > 1 {
        format!(
            "{classify} compare {} -m {model} -i photos/ --report report.html",
            names.join(" ")
        )
    } else {
        format!("{classify} devices")
    };
    format!(
        "  {classify} {flag}-m {model} -i photo.jpg\n  {second}\n  {classify} inspect {flag}your-model.onnx\n"
    )
}

/// Returns the words that start this program.
fn command(wheel: Option<&Wheel>) -> String {
    if let Some(command) = wheel.and_then(Wheel::command) {
        return command.to_owned();
    }
    let name = std::env::args_os().next().unwrap_or_default();
    quoted(Path::new(&name))
}

/// Returns a path as a word of a shell.
fn quoted(path: &Path) -> String {
    let text = printable(&path.to_string_lossy());
    let is_plain = |character: char| character.is_alphanumeric() || "/\\:._-+~".contains(character);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [
            ["photo", "class", "rten"],
            ["a.png", "1 a long name", "7 x 0.5000"],
        ];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let expected = "photo  class                rten\na.png  1 a long name  7 x 0.5000\n";
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn paths_are_words_of_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-1.onnx")), "/a/b-1.onnx");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
