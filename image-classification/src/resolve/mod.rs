//! How images are prepared for a model: what flags, files and the model itself say.

use std::path::Path;

use anyhow::Context as _;
use backend_api::{BackendInfo, ElementType, Tensor};
use image_classification::sources::{self, Resolved, Stated, Statement};
use image_classification::{InputLayout, Labels, ScoreKind};

use crate::args::Decode;
use crate::images::{self, Preparation};
use crate::messages::{Hinted, Messages, printable};
use crate::options::RecipeOptions;
use crate::scoring::OutputReading;

/// Everything that is known before the engine is asked.
#[derive(Debug)]
pub struct Recipe {
    pub resolved: Resolved,
    /// Values on which files and model do not agree, and none of the user's flags decides.
    pub contradictions: Vec<String>,
    /// Keys that were read and change nothing.
    pub unused: Vec<String>,
    decode: Decode,
    /// Whether the labels are those that the user named.
    labels_were_given: bool,
}

/// What fits the model that the engine has loaded.
#[derive(Debug)]
pub struct Fitted {
    pub layout: InputLayout,
    /// The rule that makes scores of outputs; `None` if only images would tell, and there are none.
    pub reading: Option<OutputReading>,
    pub labels: Option<Stated<Labels>>,
}

impl Recipe {
    /// Reads what `model`, the files beside it and `options` say.
    pub fn find(
        model: &Path,
        options: &RecipeOptions,
        messages: &Messages,
    ) -> anyhow::Result<Self> {
        // OpenVINO would try all of its formats on it, each with a complaint on stderr.
        if images::begins_like_one(model) {
            return Err(Hinted::new(
                format!("{} is an image, not a model", model.display()),
                "name the model with -m and images with -i",
            )
            .into());
        }
        let found = match sources::find(model) {
            Ok(found) => found,
            // The engine says better what is wrong with a file that cannot be read.
            Err(error) if error.is_io() => Vec::new(),
            Err(error) if error.is_unsupported() && options.is_complete() => {
                messages.note(&format!(
                    "{error}; the flags replace all other sources, including labels: pass --labels"
                ));
                Vec::new()
            }
            // A file that is not what its name says never reaches an engine: OpenVINO would try all
            // of its formats on it and write each one's complaint to stderr.
            Err(error) => return Err(error).with_context(|| model.display().to_string()),
        };
        let file = options
            .preprocess
            .as_deref()
            .map(sources::read_file)
            .transpose()?;
        let explicit: Vec<Statement> = file.into_iter().collect();
        let base = Resolved::new(&[&explicit[..], &found].concat());
        let flags = options.statement(&base.preprocess)?;
        options.warn_of_units(messages);
        let contradictions = contradictions(
            &found,
            &[&explicit[..], std::slice::from_ref(&flags)].concat(),
        );
        let labels_were_given =
            options.labels.is_some() || explicit.iter().any(|file| file.labels.is_some());
        let unused = found.iter().flat_map(|said| said.unused.clone()).collect();
        let mut statements = vec![flags];
        statements.extend(explicit);
        statements.extend(found);
        let mut resolved = Resolved::new(&statements);
        if let Some(labels) = labels(model, options, labels_were_given)? {
            resolved.labels = Some(labels);
        }
        Ok(Self {
            resolved,
            contradictions,
            unused,
            decode: options.decode,
            labels_were_given,
        })
    }

    /// Everything that decides which tensor an image becomes. `batch` is for a model that leaves it open.
    pub fn preparation(&self, layout: InputLayout, batch: Option<usize>) -> Preparation {
        Preparation {
            preprocess: self.resolved.preprocess,
            layout,
            batch: layout.batch().or(batch).unwrap_or(1),
            decode: self.decode,
        }
    }

    /// Checks the recipe against what the engine says of the model. `first_outputs` gives the outputs of the first
    /// images, for a model that does not say what its output is.
    pub fn fit(
        &self,
        info: &BackendInfo,
        scores: ScoreKind,
        messages: &Messages,
        first_outputs: impl FnOnce(InputLayout) -> anyhow::Result<Vec<Tensor>>,
    ) -> anyhow::Result<Fitted> {
        let resolved = &self.resolved;
        let layout = InputLayout::from_spec(
            &info.input,
            resolved.layout.as_ref().map(|stated| stated.value),
            resolved.size.as_ref().map(|stated| stated.value),
        )?;
        resolved.preprocess.check(&layout)?;
        for contradiction in &self.contradictions {
            messages.note(contradiction);
        }
        if let Some(size) = &resolved.size
            && size.value != layout.size()
        {
            let text = format!(
                "the size is {} by {}, but the model's input is {}",
                size.value,
                size.by,
                layout.size()
            );
            if size.by == "--crop" {
                let hint = "leave --crop out, or give the model's input size";
                return Err(Hinted::new(text, hint).into());
            }
            messages.note(&format!("{text}; using the model's"));
        }
        if !resolved.assumed.is_empty() && layout.element_type() != ElementType::U8 {
            let flags: Vec<String> = resolved
                .assumed
                .iter()
                .map(|key| format!("--{key}"))
                .collect();
            messages.note(&format!(
                "nothing says the {} of this model; assuming the convention of OpenVINO's samples (BGR, \
                 0-255, stretched), which is wrong for most models; pass --preprocess FILE or {}",
                resolved.assumed.join(", "),
                flags.join(", ")
            ));
        }
        if let Some(stated) = resolved.multi_label.as_ref().filter(|stated| stated.value)
            && scores == ScoreKind::Softmax
        {
            return Err(Hinted::new(
                format!(
                    "{} says that several classes may be right at a time, for which a softmax is \
                     wrong",
                    stated.by
                ),
                "pass `--scores sigmoid`, or leave --scores out",
            )
            .into());
        }
        let outputs = classes(info);
        let reading =
            OutputReading::decide(scores, resolved, info, outputs, || first_outputs(layout))?;
        if let Some(reading) = &reading {
            reading.note(scores, outputs, messages);
        }
        let scored = match &reading {
            Some(reading) => reading.interpretation.scoring.class_count(outputs),
            None => outputs,
        };
        Ok(Fitted {
            layout,
            reading,
            labels: self.fitted_labels(scored, messages)?,
        })
    }

    /// Every value and who states it, a line each.
    pub fn lines(&self, fitted: &Fitted) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut row = |key: &str, value: &str, by: &str| {
            lines.push(format!("{key:<14} {value:<24} {by}"));
        };
        for fact in &self.resolved.facts {
            row(fact.key, &fact.value, &fact.by);
            for (value, by) in &fact.others {
                row("", &format!("not {value}"), by);
            }
        }
        for (key, value, by) in self.input_facts(fitted) {
            row(key, &value, by);
        }
        let by = match self.decode {
            Decode::Exact => "",
            Decode::Fast => "--decode",
        };
        row("decode", self.decode.as_str(), by);
        match &fitted.labels {
            Some(labels) => row("labels", &labels.value.len().to_string(), &labels.by),
            None => row("labels", "none", ""),
        }
        match &fitted.reading {
            Some(reading) => row(
                "scores",
                &reading.interpretation.scoring.to_string(),
                &reading.by,
            ),
            None => row("scores", "decided by the first images", ""),
        }
        if !self.unused.is_empty() {
            row("not used", &self.unused.join(", "), "");
        }
        lines
            .iter()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    /// What the model's input and its statements say of the tensor: size and layout, and by whom.
    pub fn input_facts<'a>(&'a self, fitted: &Fitted) -> [(&'static str, String, &'a str); 2] {
        const INPUT: &str = "the model's input";
        let (size, layout) = (fitted.layout.size(), fitted.layout.order());
        let size_by = match &self.resolved.size {
            Some(stated) if stated.value == size => &stated.by,
            _ => INPUT,
        };
        let layout_by = match &self.resolved.layout {
            Some(stated) if stated.value == layout => &stated.by,
            _ => INPUT,
        };
        [
            ("size", size.to_string(), size_by),
            ("layout", layout.to_string(), layout_by),
        ]
    }

    /// Labels that belong to another model would be wrong without anybody noticing.
    fn fitted_labels(
        &self,
        classes: Option<usize>,
        messages: &Messages,
    ) -> anyhow::Result<Option<Stated<Labels>>> {
        let Some(labels) = self.resolved.labels.clone() else {
            return Ok(None);
        };
        let Some(classes) = classes else {
            return Ok(Some(labels));
        };
        let count = labels.value.len();
        let by = printable(&labels.by);
        if let Some(fitted) = labels.value.fitted(classes) {
            if count != classes {
                // Never shifted silently.
                messages.warning(&format!(
                    "the model has {classes} classes and {by} {count} labels: class 0 is taken for \
                     the background"
                ));
            }
            return Ok(Some(Stated::new(fitted, labels.by)));
        }
        let text = format!("there are {count} labels in {by}, but the model has {classes} classes");
        if self.labels_were_given {
            let hint = if count + 1 == classes {
                "give the labels of this model; if its class 0 is the background, add a first line for it"
            } else {
                "give the labels of this model"
            };
            return Err(Hinted::new(text, hint).into());
        }
        messages.note(&format!("{text}; printing none"));
        Ok(None)
    }
}

/// The number of values that the model gives for an image, if its output is of a fixed size.
pub fn classes(info: &BackendInfo) -> Option<usize> {
    let shape = info.output.fixed_shape()?;
    let batch = info.input.fixed_shape()?[0].max(1);
    Some(shape.iter().product::<usize>() / batch)
}

/// A flag, then the file beside the model that OpenVINO's samples read, then what else is known: the
/// lists inside models have no blanks.
fn labels(
    model: &Path,
    options: &RecipeOptions,
    were_given: bool,
) -> anyhow::Result<Option<Stated<Labels>>> {
    let beside = model.with_extension("labels");
    let path = match &options.labels {
        Some(path) => path,
        None if !were_given && beside.is_file() => &beside,
        None => return Ok(None),
    };
    let what = || format!("cannot use the labels in {}", path.display());
    let bytes = images::read(path, Labels::MOST_BYTES).with_context(what)?;
    let labels = Labels::parse(&bytes).with_context(what)?;
    Ok(Some(Stated::new(labels, path.display().to_string())))
}

/// Where the model and the files beside it do not agree, unless `explicit` decides.
fn contradictions(found: &[Statement], explicit: &[Statement]) -> Vec<String> {
    let decided = Resolved::new(explicit);
    Resolved::new(found)
        .facts
        .iter()
        .zip(decided.facts)
        .filter(|(_, decided)| decided.by == sources::CONVENTION)
        .flat_map(|(fact, _)| {
            fact.others.iter().map(|(value, by)| {
                printable(&format!(
                    "{} is {} by {}, but {value} by {by}; using the first",
                    fact.key, fact.value, fact.by
                ))
            })
        })
        .collect()
}
