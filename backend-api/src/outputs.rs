//! The choice of the outputs of a model that has several.

use std::fmt;

use crate::{BackendInfo, Dim, Error, ErrorKind, OpenOptions, Tensor, TensorSpec};

/// The outputs that requests give in addition to the scores.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ExtraOutputs {
    /// None. The default.
    #[default]
    None,
    /// All that the engine can give.
    All,
    /// The outputs with these names.
    Named(Vec<String>),
}

/// An output that a model declares.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(untagged))]
pub enum DeclaredOutput {
    /// An output that the engine can give.
    Usable(TensorSpec),
    /// An output that the engine cannot give.
    Unusable {
        /// The name inside the model.
        name: String,
        /// The reason, without a final full stop.
        reason: String,
    },
}

impl DeclaredOutput {
    /// Returns the name inside the model.
    pub fn name(&self) -> &str {
        match self {
            Self::Usable(spec) => &spec.name,
            Self::Unusable { name, .. } => name,
        }
    }

    /// Returns the element type and the dimensions, if the engine can give the output.
    pub fn spec(&self) -> Option<&TensorSpec> {
        match self {
            Self::Usable(spec) => Some(spec),
            Self::Unusable { .. } => None,
        }
    }
}

/// Writes the name and the type: `logits f32[1, 1000]`.
impl fmt::Display for DeclaredOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usable(spec) => write!(f, "{} {spec}", spec.name.escape_debug()),
            Self::Unusable { name, .. } => write!(f, "{} (not usable)", name.escape_debug()),
        }
    }
}

/// An output tensor and its name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// The name of the output.
    pub name: String,
    /// Its value.
    pub tensor: Tensor,
}

/// The outputs of a model that a backend gives.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChosenOutputs {
    /// The places of the outputs among all that the model declares: the scores, then the extra ones.
    pub places: Vec<usize>,
    /// The outputs at these places.
    pub specs: Vec<TensorSpec>,
    /// All outputs of the model, in its order.
    pub declared: Vec<DeclaredOutput>,
    /// True if neither the caller nor a name such as `logits`, `probs` or `scores` decides.
    pub is_assumed: bool,
    /// Remarks on the choice, a sentence each.
    pub notes: Vec<String>,
}

impl ChosenOutputs {
    /// Makes a dynamic outermost dimension of each output `batch`.
    #[must_use]
    pub fn with_batch(mut self, batch: usize) -> Self {
        self.specs = self
            .specs
            .into_iter()
            .map(|spec| spec.with_batch(batch))
            .collect();
        self
    }

    /// Replaces the specs by those that an engine reports when it has opened the model.
    #[must_use]
    pub fn with_specs(mut self, specs: impl IntoIterator<Item = TensorSpec>) -> Self {
        self.specs = specs.into_iter().collect();
        self
    }

    /// Returns the description of a backend that takes `input` and gives these outputs.
    ///
    /// # Panics
    ///
    /// If there is no output at all, which [`choose_outputs`] never returns.
    pub fn into_info(self, backend: impl Into<String>, input: TensorSpec) -> BackendInfo {
        let mut specs = self.specs.into_iter();
        let output = specs.next().expect("the output of the scores");
        let mut info = BackendInfo::new(backend, input, output);
        info.output_is_assumed = self.is_assumed;
        info.extra_outputs = specs.collect();
        info.outputs = self.declared;
        info.notes = self.notes;
        info
    }
}

/// Chooses the outputs that a backend gives of those that its model declares: each with its name, and its
/// [`TensorSpec`] or the reason why the engine cannot give it.
///
/// # Behavior
///
/// The scores are in the output called [`OpenOptions::output`]. Without that name:
///
/// 1. If there is one output, it holds the scores.
/// 2. Of several outputs, only those with one value for each class can hold scores: every dimension but the
///    outermost, the batch, and one other is 1 (`[N, C]`, `[N, C, 1, 1]`, `[N, 1, 1, C]`, `[C]`).
/// 3. Of these, names decide, without regard to case: `logits`; `probabilities`, `probs`, `prob`, `softmax` or
///    `raw_scores`; `scores`, `score`, `predictions` or `pred`; `output`; then names that have one of these as a word,
///    in the same order (`resnet/predictions/Softmax:0`); then any other name.
/// 4. Class ids come last: integers of 32 or 64 bits, and names such as `label` or `indices`.
/// 5. Features and auxiliary outputs are never taken: names with words such as `feature`, `embedding`, `hidden`,
///    `pooler`, `saliency`, `attention` or `aux`. Intel Model API leaves out `feature_vector` and `saliency_map` as
///    well.
/// 6. If the two best outputs rank equally, or no output qualifies, it is an error.
///
/// A choice among several outputs is in [`ChosenOutputs::notes`], unless the caller made it.
/// [`ChosenOutputs::is_assumed`] states whether a name decides; callers that read the graph can verify the choice.
///
/// # Errors
///
/// - [`ErrorKind::ModelUnsupported`] if no rule selects an output; the message lists all outputs. If the engine cannot
///   provide the selected output, its own error is returned.
/// - [`ErrorKind::InvalidConfig`] for a name that no output has.
pub fn choose_outputs(
    declared: Vec<(String, Result<TensorSpec, Error>)>,
    options: &OpenOptions,
) -> Result<ChosenOutputs, Error> {
    let mut errors = Vec::new();
    let mut all = Vec::new();
    for (name, spec) in declared {
        all.push(match &spec {
            Ok(spec) => DeclaredOutput::Usable(spec.clone()),
            Err(error) => DeclaredOutput::Unusable {
                name,
                reason: error.to_string(),
            },
        });
        errors.push(spec.err());
    }
    let mut notes = Vec::new();
    let mut is_assumed = false;
    let output = match &options.output {
        Some(name) => place_of(name, &all, "output")?,
        None if all.len() == 1 => 0,
        None => {
            let (place, rank) = default_output(&all).map_err(|error| with_model(error, options))?;
            is_assumed = !rank.means_scores();
            notes.push(format!(
                "the model has {} outputs; taking the scores from {:?} (others: {}); `output` takes another one",
                all.len(),
                all[place].name(),
                others(&all, place)
            ));
            place
        }
    };
    if let Some(error) = errors[output].take() {
        return Err(error);
    }
    let mut places = vec![output];
    match &options.extra_outputs {
        ExtraOutputs::None => {}
        ExtraOutputs::All => {
            for (place, declared) in all.iter().enumerate() {
                match declared {
                    _ if place == output => {}
                    DeclaredOutput::Usable(_) => places.push(place),
                    DeclaredOutput::Unusable { name, reason } => {
                        notes.push(format!("the output {name:?} is left out: {reason}"));
                    }
                }
            }
        }
        ExtraOutputs::Named(names) => {
            for name in names {
                let place = place_of(name, &all, "extra_outputs")?;
                if let Some(error) = errors[place].take() {
                    return Err(error);
                }
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
    }
    let specs = places
        .iter()
        .filter_map(|place| all[*place].spec().cloned());
    Ok(ChosenOutputs {
        specs: specs.collect(),
        places,
        declared: all,
        is_assumed,
        notes,
    })
}

/// Returns the place of the only input among `names`, those of the model's inputs.
///
/// # Errors
///
/// [`ErrorKind::ModelUnsupported`] for another number of inputs; the message names them.
pub fn only_input(names: &[String], options: &OpenOptions) -> Result<usize, Error> {
    if names.len() == 1 {
        return Ok(0);
    }
    let listed = names.iter().take(MOST_LISTED);
    let listed: Vec<String> = listed.map(|name| name.escape_debug().to_string()).collect();
    let error = Error::new(
        ErrorKind::ModelUnsupported,
        format!(
            "the model has {} inputs ({}), but 1 is needed",
            names.len(),
            listed.join(", ")
        ),
    )
    .with_hint("cut the model down to one input");
    Err(with_model(error, options))
}

fn with_model(error: Error, options: &OpenOptions) -> Error {
    error.with_context("model", &options.model)
}

fn others(all: &[DeclaredOutput], place: usize) -> String {
    let others = all.iter().enumerate().filter(|(other, _)| *other != place);
    list(others.map(|(_, output)| output))
}

/// The most outputs that a message lists.
const MOST_LISTED: usize = 20;

fn list<'a>(outputs: impl Iterator<Item = &'a DeclaredOutput>) -> String {
    let mut outputs = outputs.map(ToString::to_string);
    let mut listed: Vec<String> = outputs.by_ref().take(MOST_LISTED).collect();
    let more = outputs.count();
    if more > 0 {
        listed.push(format!("{more} more"));
    }
    listed.join(", ")
}

fn place_of(name: &str, all: &[DeclaredOutput], field: &str) -> Result<usize, Error> {
    let place = all.iter().position(|output| output.name() == name);
    place.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "the model has no output {name:?}; it has {}",
                list(all.iter())
            ),
        )
        .with_hint(format!("give one of these names as `{field}`"))
    })
}

/// Returns the place of the output that holds the scores, by the rule of [`choose_outputs`], and its rank.
fn default_output(all: &[DeclaredOutput]) -> Result<(usize, Rank), Error> {
    let candidates = all.iter().enumerate();
    let mut candidates: Vec<(Rank, usize)> = candidates
        .filter_map(|(place, output)| {
            let spec = output
                .spec()
                .filter(|spec| has_a_value_for_each_class(spec))?;
            Some((Rank::of(spec)?, place))
        })
        .collect();
    candidates.sort_by_key(|(rank, _)| *rank);
    let unsupported = |message: String| {
        Error::new(ErrorKind::ModelUnsupported, message)
            .with_hint("give the name of the output that holds the scores as `output`")
    };
    match candidates[..] {
        [] => Err(unsupported(format!(
            "the model has {} outputs, and none of them is known to hold scores: {}",
            all.len(),
            list(all.iter())
        ))),
        [(one, first), (other, second), ..] if one == other => Err(unsupported(format!(
            "the model has {} outputs, of which {:?} and {:?} may hold the scores: {}",
            all.len(),
            all[first].name(),
            all[second].name(),
            list(all.iter())
        ))),
        [(rank, place), ..] => Ok((place, rank)),
    }
}

/// Returns whether every dimension but the outermost and one other is 1.
fn has_a_value_for_each_class(spec: &TensorSpec) -> bool {
    let inner = match spec.dims.as_slice() {
        [] => return false,
        [_] => return true,
        [_, inner @ ..] => inner,
    };
    let sizes = inner.iter().filter(|dim| **dim != Dim::Fixed(1));
    sizes.count() <= 1
}

/// The words of names, in the order in which they are preferred.
const SCORES: [&[&str]; 4] = [
    &["logits", "logit"],
    &[
        "probabilities",
        "probability",
        "probs",
        "prob",
        "softmax",
        "raw_scores",
    ],
    &[
        "scores",
        "score",
        "predictions",
        "prediction",
        "preds",
        "pred",
    ],
    &["output", "outputs"],
];
const CLASS_IDS: [&str; 9] = [
    "label", "labels", "index", "indices", "id", "ids", "class", "classes", "argmax",
];
const NO_SCORES: [&str; 21] = [
    "feature",
    "features",
    "feat",
    "feats",
    "emb",
    "embedding",
    "embeddings",
    "embed",
    "embeds",
    "hidden",
    "pooler",
    "pooled",
    "pool",
    "saliency",
    "attention",
    "attentions",
    "aux",
    "auxiliary",
    "aux1",
    "aux2",
    "backbone",
];

/// The preference for an output, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The whole name.
    Name(usize),
    /// A word of the name.
    Word(usize),
    Other,
    ClassIds,
}

impl Rank {
    /// Returns whether the name means scores (`output` alone does not).
    fn means_scores(self) -> bool {
        matches!(self, Self::Name(place) | Self::Word(place) if place + 1 < SCORES.len())
    }

    /// Returns the rank of an output; `None` for features.
    fn of(spec: &TensorSpec) -> Option<Self> {
        let name = spec.name.to_ascii_lowercase();
        // TensorFlow counts the outputs of an operator.
        let name = name.strip_suffix(":0").unwrap_or(&name);
        let words: Vec<&str> = name
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .collect();
        let has = |list: &[&str]| words.iter().any(|word| list.contains(word));
        let place = |is_in: &dyn Fn(&[&str]) -> bool| SCORES.iter().position(|list| is_in(list));
        let is_wide = spec.element_type.is_wide_integer();
        Some(if has(&NO_SCORES) {
            return None;
        } else if is_wide {
            Self::ClassIds
        } else if let Some(place) = place(&|list| list.contains(&name)) {
            Self::Name(place)
        } else if let Some(place) = place(&has) {
            Self::Word(place)
        } else if has(&CLASS_IDS) {
            Self::ClassIds
        } else {
            Self::Other
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementType;

    type Declared = Vec<(String, Result<TensorSpec, Error>)>;

    /// Outputs of `f32`, and of `i64` where the name begins with `i64 `. A size of 0 is dynamic.
    fn declared(outputs: &[(&str, &[usize])]) -> Declared {
        let output = |&(name, dims): &(&str, &[usize])| {
            let (name, element) = match name.strip_prefix("i64 ") {
                Some(name) => (name, ElementType::I64),
                None => (name, ElementType::F32),
            };
            let dim = |&size: &usize| match size {
                0 => Dim::Dynamic,
                size => Dim::Fixed(size),
            };
            let dims = dims.iter().map(dim).collect();
            (name.to_owned(), Ok(TensorSpec::new(name, element, dims)))
        };
        outputs.iter().map(output).collect()
    }

    fn options(output: Option<&str>, extra_outputs: ExtraOutputs) -> OpenOptions {
        let mut options = OpenOptions::new("model.onnx");
        options.output = output.map(str::to_owned);
        options.extra_outputs = extra_outputs;
        options
    }

    fn default_of(outputs: &[(&str, &[usize])]) -> Result<String, Error> {
        let chosen = choose_outputs(declared(outputs), &options(None, ExtraOutputs::None))?;
        assert_eq!(chosen.places.len(), 1);
        assert_eq!(chosen.notes.len(), usize::from(outputs.len() > 1));
        Ok(chosen.specs[0].name.clone())
    }

    #[test]
    fn the_only_output_is_taken_whatever_it_is() {
        for outputs in [
            &[("saliency_map", &[1_usize, 3, 7, 7][..])][..],
            &[("i64 label", &[])],
        ] {
            let name = outputs[0].0.trim_start_matches("i64 ");
            assert_eq!(default_of(outputs).unwrap(), name);
        }
    }

    #[test]
    fn names_and_shapes_decide_among_several() {
        let row = &[0, 1000][..];
        for (outputs, expected) in [
            // OTX, with and without its name for the scores.
            (
                &[
                    ("feature_vector", &[1_usize, 1280][..]),
                    ("logits", &[1, 5]),
                    ("saliency_map", &[1, 5, 7, 7]),
                ][..],
                "logits",
            ),
            (
                &[("495", row), ("feature_vector", row), ("saliency_map", row)],
                "495",
            ),
            // Model API's, with the best classes found inside the model.
            (
                &[
                    ("i64 indices", &[1, 5]),
                    ("scores", &[1, 5]),
                    ("raw_scores", row),
                ],
                "raw_scores",
            ),
            // Hugging Face: DeiT with a teacher, and hidden states.
            (
                &[
                    ("cls_logits", row),
                    ("distillation_logits", row),
                    ("logits", row),
                ],
                "logits",
            ),
            (
                &[("last_hidden_state", &[0, 197, 768]), ("logits", row)],
                "logits",
            ),
            // scikit-learn's converter.
            (
                &[("i64 label", &[0]), ("probabilities", row)],
                "probabilities",
            ),
            (
                &[("i64 output_label", &[0]), ("output_probability", row)],
                "output_probability",
            ),
            // TensorFlow.
            (
                &[
                    ("resnet/pool5:0", &[0, 1, 1, 2048]),
                    ("resnet/predictions/Softmax:0", row),
                ],
                "resnet/predictions/Softmax:0",
            ),
            (&[("output", row), ("aux_logits", row)], "output"),
            (&[("output", row), ("prob", row)], "prob"),
            (&[("OUTPUT:0", row), ("x", row)], "OUTPUT:0"),
            // A name counts only where the shape fits.
            (&[("logits", &[1, 5, 7, 7]), ("x", row)], "x"),
            (&[("a", &[1, 1000, 1, 1]), ("b", &[1, 64, 56, 56])], "a"),
            (&[("a", &[1, 1, 1, 1000]), ("b", &[])], "a"),
            (&[("a", &[1000]), ("b", &[4, 4, 4])], "a"),
            (&[("i64 classes", row), ("features", row)], "classes"),
        ] {
            assert_eq!(default_of(outputs).unwrap(), expected, "{outputs:?}");
        }
    }

    #[test]
    fn every_wide_integer_is_a_class_id() {
        for element in [
            ElementType::U32,
            ElementType::U64,
            ElementType::I32,
            ElementType::I64,
        ] {
            let spec = |name: &str, element, size| {
                let dims = vec![Dim::Fixed(1), Dim::Fixed(size)];
                (name.to_owned(), Ok(TensorSpec::new(name, element, dims)))
            };
            let outputs = vec![spec("output", element, 1), spec("x", ElementType::F32, 10)];
            let chosen = choose_outputs(outputs, &options(None, ExtraOutputs::None)).unwrap();
            assert_eq!(chosen.specs[0].name, "x", "{element}");
        }
        assert!(!ElementType::I16.is_wide_integer() && !ElementType::F32.is_wide_integer());
    }

    #[test]
    fn nothing_is_guessed() {
        for (outputs, part) in [
            (
                &[("a", &[1_usize, 10][..]), ("b", &[1, 10])][..],
                r#"of which "a" and "b" may hold the scores: a f32[1, 10], b f32[1, 10]"#,
            ),
            (&[("prob", &[1, 10]), ("probs", &[1, 10])], "\"prob\""),
            (
                &[("x", &[0, 3, 7, 7]), ("pooler_output", &[0, 768])],
                "none of them is known to hold scores: x f32[?, 3, 7, 7], pooler_output f32[?, 768]",
            ),
        ] {
            let error = default_of(outputs).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelUnsupported);
            assert!(error.to_string().contains(part), "{error}");
            assert!(error.to_string().contains("model: model.onnx"), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("`output`")));
        }
        let many: Vec<String> = (0..30).map(|number| format!("n{number}")).collect();
        let many: Vec<(&str, &[usize])> = many.iter().map(|name| (&**name, &[1, 2][..])).collect();
        let error = default_of(&many).unwrap_err().to_string();
        assert!(error.contains("n19 f32[1, 2], 10 more"), "{error}");
    }

    #[test]
    fn names_of_the_caller_decide() {
        let outputs = || declared(&[("a", &[0, 10]), ("logits", &[0, 10]), ("map", &[0, 7, 7])]);
        let given = choose_outputs(outputs(), &options(Some("map"), ExtraOutputs::All)).unwrap();
        assert_eq!(given.places, [2, 0, 1]);
        assert_eq!(given.notes, Vec::<String>::new());
        let given = given.with_batch(2);
        assert_eq!(given.specs[0].to_string(), "f32[2, 7, 7]");
        let input = TensorSpec::new("x", ElementType::F32, vec![Dim::Fixed(2)]);
        let info = given.into_info("mock", input);
        assert_eq!(info.output.name, "map");
        assert_eq!(info.extra_outputs[1].to_string(), "f32[2, 10]");
        assert_eq!(info.outputs.len(), 3);

        let names = ["map", "logits", "map"].map(str::to_owned).to_vec();
        let named = options(None, ExtraOutputs::Named(names));
        assert_eq!(choose_outputs(outputs(), &named).unwrap().places, [1, 2]);

        let other = || ExtraOutputs::Named(vec!["Logits".to_owned()]);
        for (options, field) in [
            (options(Some("Logits"), ExtraOutputs::None), "`output`"),
            (options(None, other()), "`extra_outputs`"),
        ] {
            let error = choose_outputs(outputs(), &options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            let text = r#"the model has no output "Logits"; it has a f32[?, 10], logits f32[?, 10], map f32[?, 7, 7]"#;
            assert_eq!(error.to_string(), text);
            assert!(error.hint().is_some_and(|hint| hint.contains(field)));
        }
    }

    #[test]
    fn an_output_that_the_engine_lacks_matters_only_where_it_is_asked_for() {
        let outputs = || {
            let mut outputs = declared(&[("logits", &[1, 10])]);
            let error = Error::new(ErrorKind::ModelUnsupported, "it has element type bool");
            outputs.push(("mask".to_owned(), Err(error)));
            outputs
        };
        let all = choose_outputs(outputs(), &options(None, ExtraOutputs::All)).unwrap();
        assert_eq!(all.places, [0]);
        let note = r#"the output "mask" is left out: it has element type bool"#;
        assert_eq!(all.notes[1], note);
        assert!(all.notes[0].contains("others: mask (not usable)"));
        let named = ExtraOutputs::Named(vec!["mask".to_owned()]);
        for options in [
            options(Some("mask"), ExtraOutputs::None),
            options(None, named),
        ] {
            let error = choose_outputs(outputs(), &options).unwrap_err();
            assert_eq!(error.to_string(), "it has element type bool");
        }
    }
}
