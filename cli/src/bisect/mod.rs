//! Where do two runs part? Looks into an ONNX model, at one value between its nodes at a time: exposing
//! all of them at once takes the memory of all and leaves an engine nothing to fuse.

mod graph;
mod search;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use backend_api::{InferRequest, Tensor, model_file};
use prost::Message as _;
use serde::Serialize;
use tempfile::TempDir;

use crate::engines;
use crate::interrupt;
use crate::messages::{Hinted, Messages, printable};
use crate::options::EngineOptions;
use crate::pictures::{Buffers, PictureFile};
use crate::reports::compare::Comparison;
use crate::runs::{Run, Runs};
use graph::Model;
use search::{Look, Search};

/// Larger graphs would take gigabytes to search.
const MOST_NODES: usize = 20_000;

/// What the search found.
#[derive(Debug, Serialize)]
pub struct Bisection {
    pub picture: String,
    pub reference: String,
    pub run: String,
    /// By how much of its largest value a node's output may differ.
    pub tolerance: f64,
    /// How many nodes the model has.
    pub nodes: usize,
    /// The first node that differs; `None` if the outputs do not differ.
    pub first: Option<usize>,
    /// The nodes that were looked at, in topological order.
    pub looked_at: Vec<LookedAt>,
    /// By how much exposing values changed the model's own output at most: of the reference and the run.
    pub output_changed: [f64; 2],
    /// max |x − y| / max |x| of the outputs without looking.
    pub output_error: f64,
}

/// A node that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct LookedAt {
    /// Its place in the file, from 0.
    pub index: usize,
    pub name: String,
    pub operator: String,
    pub shape: Vec<usize>,
    /// Least and largest value of the reference and of the run.
    pub ranges: [[f64; 2]; 2],
    /// max |x − y|.
    pub max_error: f64,
    /// max |x − y| / max |x|.
    pub relative_error: f64,
    pub differs: bool,
    /// Why it could not be looked at, then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Bisection {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "bisect     {} and {} on {}: {} of {} nodes looked at, tolerance {} of a node's largest value\n",
            printable(&self.reference),
            printable(&self.run),
            printable(&self.picture),
            self.looked_at.len(),
            self.nodes,
            self.tolerance
        );
        for node in &self.looked_at {
            let mark = match &node.problem {
                Some(_) => "unknown",
                None if node.differs => "differs",
                None => "same",
            };
            let _ = write!(
                text,
                "  {mark:<8} #{:<5} {} ({}) ",
                node.index,
                printable(&node.name),
                printable(&node.operator)
            );
            let _ = match &node.problem {
                Some(problem) => writeln!(text, "{}", printable(problem)),
                None => writeln!(
                    text,
                    "{:?}: relative error {:.3e}, max {:.3e}, range [{:.4}, {:.4}] and [{:.4}, {:.4}]",
                    node.shape,
                    node.relative_error,
                    node.max_error,
                    node.ranges[0][0],
                    node.ranges[0][1],
                    node.ranges[1][0],
                    node.ranges[1][1]
                ),
            };
        }
        let _ = match self.first.and_then(|first| self.node(first)) {
            Some(node) => writeln!(
                text,
                "  they part at node #{} {} ({}): the nodes before it that were looked at are the same",
                node.index,
                printable(&node.name),
                printable(&node.operator)
            ),
            None => writeln!(
                text,
                "  the outputs differ by {:.3e} of the largest value, which is within the tolerance: there is nothing to find",
                self.output_error
            ),
        };
        let unknown = self
            .looked_at
            .iter()
            .filter(|node| node.problem.is_some())
            .count();
        if self.first.is_some() && unknown > 0 {
            let _ = writeln!(
                text,
                "  {unknown} could not be looked at: it may begin at one of them already"
            );
        }
        if self.first.is_some() {
            let [one, other] = self.output_changed;
            let _ = writeln!(
                text,
                "  looking changed the model's own output by at most {one:.3e} and {other:.3e}"
            );
        }
        text
    }

    fn node(&self, index: usize) -> Option<&LookedAt> {
        self.looked_at.iter().find(|node| node.index == index)
    }
}

/// Searches on `picture`, or on the worst one.
pub fn run(
    comparison: &Comparison,
    opened: &Runs,
    asked: &[(String, EngineOptions)],
    picture: Option<&Path>,
    tolerance: f64,
    messages: &mut Messages,
) -> anyhow::Result<Bisection> {
    let pair = comparison.worst_pair().ok_or_else(|| {
        Hinted::new(
            "nothing was compared, so there is nothing to bisect",
            "mend what is said above",
        )
    })?;
    let picture: PathBuf = if let Some(picture) = picture {
        picture.to_owned()
    } else {
        let worst = pair.pair.worst.first().context("no picture was compared")?;
        comparison.pictures[worst.row.picture].clone()
    };
    // Recordings and other formats were refused before the work, so lanes and entries are the same.
    let side = |lane: usize| -> anyhow::Result<Side<'_>> {
        let (name, run) = &opened.entries[lane];
        let run = run.as_ref().ok().context("the run is not open")?;
        Side::new(name, run, &asked[lane].1)
    };
    let sides = [side(pair.reference)?, side(pair.run)?];
    let run = sides[0].run;
    let mut file = PictureFile::read(&picture, Buffers::default())?;
    let tensor = Arc::new(run.input.tensor(file.picture(&run.input)?)?);

    let own = [sides[0].own_output(&tensor)?, sides[1].own_output(&tensor)?];
    let output_error = errors(&own[0], &own[1]).1;
    let mut found = Bisection {
        picture: picture.to_string_lossy().into_owned(),
        reference: sides[0].name.to_owned(),
        run: sides[1].name.to_owned(),
        tolerance,
        nodes: sides[0].model.nodes().len(),
        first: None,
        looked_at: Vec::new(),
        output_changed: [0.0; 2],
        output_error,
    };
    if output_error <= tolerance {
        return Ok(found);
    }
    let model = &sides[0].model;
    if model.nodes().len() > MOST_NODES {
        return Err(Hinted::new(
            format!(
                "the model has {} nodes, more than {MOST_NODES}",
                model.nodes().len()
            ),
            "bisect a smaller model",
        )
        .into());
    }
    let last = model.last().ok_or_else(|| {
        Hinted::new(
            "no node makes the model's output",
            "give a model with nodes",
        )
    })?;
    let mut search = Search::new(model.parents(), last);
    let folder = tempfile::tempdir().context("cannot make a folder for the edited models")?;
    let _temporary = interrupt::remove_when_stopped(folder.path());
    let mut next = Some(last);
    while let Some(index) = next {
        messages.step(&format!(
            "bisecting: {} nodes looked at",
            found.looked_at.len()
        ));
        let node = look(&sides, index, &tensor, &own, &folder, &mut found);
        if index == last {
            // The output differs, whatever a look at it says.
        } else {
            search.saw(
                index,
                match (&node.problem, node.differs) {
                    (Some(_), _) => Look::Unknown,
                    (None, true) => Look::Differs,
                    (None, false) => Look::Same,
                },
            );
        }
        found.looked_at.push(node);
        next = search.next();
    }
    messages.end_progress();
    found.looked_at.sort_by_key(|node| node.index);
    found.first = Some(search.first());
    Ok(found)
}

/// One of the two runs.
struct Side<'a> {
    name: &'a str,
    run: &'a Run,
    engine: &'a EngineOptions,
    model: Model,
    /// The model's external data.
    data: Vec<PathBuf>,
}

impl<'a> Side<'a> {
    fn new(name: &'a str, run: &'a Run, engine: &'a EngineOptions) -> anyhow::Result<Self> {
        let mut files = model_file::check(&engine.model)?;
        let bytes = fs::read(files.remove(0)).context("cannot read the model")?;
        let model = Model::decode(bytes.as_slice()).context("cannot look into the model")?;
        Ok(Self {
            name,
            run,
            engine,
            model,
            data: files,
        })
    }

    fn own_output(&self, tensor: &Arc<Tensor>) -> anyhow::Result<Vec<f32>> {
        infer(&*self.run.backend, tensor)
    }

    /// The model's own output, and what follows it when `value` is exposed.
    fn expose(
        &self,
        value: &str,
        tensor: &Arc<Tensor>,
        own: usize,
        folder: &TempDir,
    ) -> anyhow::Result<(Vec<f32>, Vec<f32>)> {
        let model = self
            .model
            .exposing(value)
            .context("the model has no output")?;
        // A folder of its own: engines may still have the last model's file open.
        let folder = tempfile::tempdir_in(folder.path())?;
        let home = self
            .engine
            .model
            .parent()
            .filter(|home| *home != Path::new(""));
        let home = home.unwrap_or(Path::new(".")).canonicalize()?;
        for file in &self.data {
            let to = folder.path().join(file.strip_prefix(&home)?);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            bring(file, &to)?;
        }
        let mut path = folder.path().join("exposed.onnx");
        while path.exists() {
            path.set_extension("exposed.onnx");
        }
        File::create_new(&path)?.write_all(&model.encode_to_vec())?;
        let mut engine = self.engine.clone();
        engine.model = path;
        engine.requests = Some(1);
        engine.cache_dir = None;
        let backend = engines::open(&engine)?;
        let mut all = infer(&*backend, tensor)?;
        anyhow::ensure!(
            all.len() > own,
            "the edited model gave {} values",
            all.len()
        );
        let rest = all.split_off(own);
        Ok((all, rest))
    }
}

/// Makes the user's `file` available as `to`. A model may name it twice: what is there already is the same file by a
/// hard link, and writing to it would destroy the user's.
fn bring(file: &Path, to: &Path) -> anyhow::Result<()> {
    match fs::hard_link(file, to) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            let mut copy = match File::create_new(to) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
                created => created?,
            };
            io::copy(&mut File::open(file)?, &mut copy)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn infer(
    backend: &dyn backend_api::InferBackend,
    tensor: &Arc<Tensor>,
) -> anyhow::Result<Vec<f32>> {
    let request = InferRequest::new(0, Arc::clone(tensor));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let output = runtime.block_on(async { backend.submit(request).await?.await })?;
    Ok(output.tensor.to_f32().into_owned())
}

/// Looks at what node `index` gives.
fn look(
    sides: &[Side<'_>; 2],
    index: usize,
    tensor: &Arc<Tensor>,
    own: &[Vec<f32>; 2],
    folder: &TempDir,
    found: &mut Bisection,
) -> LookedAt {
    let node = &sides[0].model.nodes()[index];
    let mut seen = LookedAt {
        index,
        name: node.title(),
        operator: node.operator().to_owned(),
        shape: Vec::new(),
        ranges: [[0.0; 2]; 2],
        max_error: 0.0,
        relative_error: 0.0,
        differs: false,
        problem: None,
    };
    let exposed = || -> anyhow::Result<_> {
        let value = node.value().context("the node has no output")?;
        let has = |node: &graph::Node| node.value() == Some(value);
        anyhow::ensure!(
            sides[1].model.nodes().iter().any(has),
            "the other model has no value `{value}`"
        );
        let one = sides[0].expose(value, tensor, own[0].len(), folder)?;
        let other = sides[1].expose(value, tensor, own[1].len(), folder)?;
        Ok([one, other])
    };
    let [(own_one, one), (own_other, other)] = match exposed() {
        Ok(both) => both,
        Err(error) => {
            seen.problem = Some(crate::messages::chain(&error));
            return seen;
        }
    };
    let (values, shape) = split(&one);
    // The run may round the sizes at its precision; the reference's are taken.
    let same_shape = other.len() == one.len();
    let others = if same_shape {
        &other[..values.len()]
    } else {
        split(&other).0
    };
    let (max_error, relative_error) = if same_shape {
        errors(values, others)
    } else {
        (f64::INFINITY, f64::INFINITY)
    };
    seen.shape = shape;
    seen.ranges = [range(values), range(others)];
    seen.max_error = max_error;
    seen.relative_error = relative_error;
    // NaN differs, too.
    seen.differs = relative_error.is_nan() || relative_error > found.tolerance;
    for (place, (with, without)) in [(&own_one, &own[0]), (&own_other, &own[1])]
        .into_iter()
        .enumerate()
    {
        found.output_changed[place] = found.output_changed[place].max(errors(without, with).0);
    }
    seen
}

/// The values and their shape, from a row that ends in the sizes and their number.
fn split(row: &[f32]) -> (&[f32], Vec<usize>) {
    let rank = row.last().map_or(0, |rank| *rank as usize);
    let numbers = row.len().saturating_sub(1);
    let values = numbers.saturating_sub(rank);
    let shape = row[values..numbers]
        .iter()
        .map(|size| *size as usize)
        .collect();
    (&row[..values], shape)
}

fn range(values: &[f32]) -> [f64; 2] {
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    [least.into(), most.into()]
}

/// max |x − y|, and that as a share of max |x|; NaN if there is one in either.
fn errors(x: &[f32], y: &[f32]) -> (f64, f64) {
    if x.len() != y.len() || x.iter().chain(y).any(|value| value.is_nan()) {
        return (f64::NAN, f64::NAN);
    }
    let error = x
        .iter()
        .zip(y)
        .map(|(x, y)| {
            if x == y {
                0.0
            } else {
                (f64::from(*x) - f64::from(*y)).abs()
            }
        })
        .fold(0.0, f64::max);
    let largest = x.iter().map(|x| f64::from(x.abs())).fold(0.0, f64::max);
    (error, if error == 0.0 { 0.0 } else { error / largest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_ends_in_its_shape() {
        let (values, shape) = split(&[5.0, 6.0, 1.0, 2.0, 2.0]);
        assert_eq!((values, shape), (&[5.0, 6.0][..], vec![1, 2]));
        assert_eq!(split(&[7.0, 0.0]), (&[7.0][..], vec![]));
        assert_eq!(split(&[]), (&[][..], vec![]));
    }

    #[test]
    fn errors_are_relative_to_the_largest_value() {
        assert_eq!(errors(&[1.0, -4.0], &[1.0, -3.0]), (1.0, 0.25));
        assert_eq!(errors(&[0.0], &[0.0]), (0.0, 0.0));
        assert_eq!(errors(&[0.0], &[1.0]).1, f64::INFINITY);
        assert!(errors(&[f32::NAN], &[1.0]).1.is_nan());
        assert!(errors(&[1.0], &[1.0, 2.0]).1.is_nan());
    }
}
