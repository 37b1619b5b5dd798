//! Short names of runs: reports for people leave out directories.

use std::collections::BTreeSet;
use std::ops::Deref;

use evaluation::text::printable;
use evaluation::{ComparisonReport, EvaluationReport};

/// An evaluation whose runs have short names.
pub type Evaluation<'a> = Named<'a, EvaluationReport>;

/// A comparison whose runs have short names.
pub type Comparison<'a> = Named<'a, ComparisonReport>;

/// A report whose runs have short names. Where full ones are shown, `report` has them.
pub struct Named<'a, R> {
    pub report: &'a R,
    /// The full names.
    full: Vec<String>,
    names: Vec<String>,
}

impl<R> Deref for Named<'_, R> {
    type Target = R;

    fn deref(&self) -> &R {
        self.report
    }
}

impl<'a, R> Named<'a, R> {
    fn new(report: &'a R, names: Vec<&str>) -> Self {
        Self {
            report,
            names: short_names(&names),
            full: names.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Writes the short names in a text that has full ones.
    pub fn shortened(&self, mut text: String) -> String {
        for (full, short) in self.full.iter().zip(&self.names) {
            if full != short {
                text = text.replace(&printable(full), &printable(short));
            }
        }
        text
    }

    /// Returns the short name of a run, safe to print.
    pub fn name(&self, run: usize) -> String {
        printable(&self.names[run])
    }
}

impl<'a> Named<'a, EvaluationReport> {
    pub fn evaluation(report: &'a EvaluationReport) -> Self {
        Self::new(report, report.runs.iter().map(|run| &*run.name).collect())
    }

    /// Returns the short name of a run; where there are several, the reference is marked.
    pub fn title(&self, run: usize) -> String {
        let is_reference = run == self.reference && self.runs.len() > 1;
        let reference = if is_reference { " (reference)" } else { "" };
        format!("{}{reference}", self.name(run))
    }
}

impl<'a> Named<'a, ComparisonReport> {
    pub fn comparison(report: &'a ComparisonReport) -> Self {
        Self::new(report, report.runs.iter().map(|run| &*run.name).collect())
    }
}

/// Returns names such as `onnx=/a/b/c.onnx` without directories or, if two would be equal, without the directory that all
/// of them share.
fn short_names(names: &[&str]) -> Vec<String> {
    let parts: Vec<[&str; 3]> = names.iter().map(|name| parts(name)).collect();
    let files = parts
        .iter()
        .map(|[start, _, file]| format!("{start}{file}"));
    let files: Vec<String> = files.collect();
    let [full, short] = [
        names.iter().copied().collect::<BTreeSet<&str>>(),
        files.iter().map(|name| &**name).collect(),
    ];
    if full.len() == short.len() {
        return files;
    }
    let directories = parts.iter().map(|[_, directory, _]| *directory);
    // A run that names no model has no say.
    let directories = directories.zip(names).filter_map(|(directory, name)| {
        (!directory.is_empty() || name.contains('=')).then_some(directory)
    });
    let mut shared = directories.clone().next().unwrap_or_default();
    for directory in directories {
        let is_shared = |end: usize| directory.starts_with(&shared[..end]);
        let ends = shared.rmatch_indices(is_separator);
        let ends = ends.map(|(place, separator)| place + separator.len());
        let end = ends.chain([0]).find(|end| is_shared(*end));
        shared = &shared[..end.unwrap_or(0)];
    }
    let short = |[start, directory, file]: &[&str; 3]| {
        let directory = directory.strip_prefix(shared).unwrap_or(directory);
        format!("{start}{directory}{file}")
    };
    parts.iter().map(short).collect()
}

/// Divides a name into the engine with its sign, the directory with its last separator, and the file. A name without a
/// directory, and an address, has its text in the first part.
fn parts(name: &str) -> [&str; 3] {
    let path = name.find('=').map_or(0, |sign| sign + 1);
    let file = name.rfind(is_separator).map_or(path, |place| place + 1);
    if file <= path || name.contains("://") {
        return [name, "", ""];
    }
    [&name[..path], &name[path..file], &name[file..]]
}

fn is_separator(letter: char) -> bool {
    letter == '/' || letter == std::path::MAIN_SEPARATOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_left_out_unless_they_tell_runs_apart() {
        for (names, short) in [
            (
                &["onnx", "rten=/a/b/c/float.onnx", "rten=/a/b/c/int8.onnx"][..],
                &["onnx", "rten=float.onnx", "rten=int8.onnx"][..],
            ),
            (
                &["onnx=/a/float.onnx", "rten=/b/c/int8.onnx"][..],
                &["onnx=float.onnx", "rten=int8.onnx"][..],
            ),
            (
                &["onnx=/a/float/m.onnx", "onnx=/a/fast/m.onnx"],
                &["onnx=float/m.onnx", "onnx=fast/m.onnx"],
            ),
            (
                &["onnx=a/b/m.onnx", "onnx=a/m.onnx"],
                &["onnx=b/m.onnx", "onnx=m.onnx"],
            ),
            (
                &["onnx=a/m.onnx", "onnx=m.onnx"],
                &["onnx=a/m.onnx", "onnx=m.onnx"],
            ),
            (&["a/m.onnx"], &["m.onnx"]),
            (&["lab", "onnx=/a/m.onnx"], &["lab", "onnx=m.onnx"]),
            (
                &["r=http://a/b", "r=http://a/c"],
                &["r=http://a/b", "r=http://a/c"],
            ),
            (&[], &[]),
        ] {
            assert_eq!(short_names(names), short);
        }
    }
}
