//! The preprocessing of a model, resolved from the caller's values, the model, and the files next to it.

mod error;
mod fitted;
mod input;
mod note;
mod overrides;
mod ranked;
mod reading;
mod units;

use backend_api::ModelSource;
use model_file::Foreign;

pub use self::error::ResolveError;
pub use self::fitted::FittedPreprocessing;
pub use self::note::{Note, Severity};
pub use self::overrides::{PreprocessOverrides, ResizeOverride};
pub use self::reading::OutputReading;
use crate::file::is_there;
use crate::recipes;
use crate::setting::{choose, first, three};
use crate::sources::{self, End, Found, SourceSettings};
use crate::{
    Decode, Image, ImageLayout, ImageSize, InputQuantization, Labels, OutputKind, Preprocess,
    Quantization, Recipe, Resize, ScoreKind, Setting, SettingOrigin, WithOrigin, has_image_magic,
};

/// The preprocessing, the labels and the output of a model, each value from the first source that has it, before an
/// engine opens the model.
///
/// ```no_run
/// use image_classification::{PreprocessOverrides, ResolvedPreprocessing};
///
/// let resolved = ResolvedPreprocessing::find("model.onnx", &PreprocessOverrides::default())?;
/// for setting in &resolved.settings {
///     println!("{setting}");
/// }
/// # Ok::<_, image_classification::ResolveError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ResolvedPreprocessing {
    /// The preprocessing.
    pub preprocess: Preprocess,
    /// The size of an input that the model leaves open.
    pub size: Option<WithOrigin<ImageSize>>,
    /// The place of the channels, if a source states it.
    pub layout: Option<WithOrigin<ImageLayout>>,
    /// The names of the classes.
    pub labels: Option<WithOrigin<Labels>>,
    /// True if a source states that several classes may be right at a time.
    pub multi_label: Option<WithOrigin<bool>>,
    /// The kind of values that the output holds, if a source states it.
    pub output: Option<WithOrigin<OutputKind>>,
    /// The quantization of an integer output, if the model has one.
    pub quantization: Option<WithOrigin<Quantization>>,
    /// The quantization of an integer input, if the model has one.
    pub input_quantization: Option<WithOrigin<InputQuantization>>,
    /// The requested kind of scores.
    pub scores: ScoreKind,
    /// The way in which JPEGs are decoded.
    pub decode: Decode,
    /// The values of [`preprocess`](Self::preprocess), with their origins.
    pub settings: Vec<Setting>,
    /// The names of the values that no source states: they come from [`SettingOrigin::Convention`].
    pub assumed: Vec<&'static str>,
    /// Keys of the sources that have no effect.
    pub unused: Vec<String>,
    /// Notes on the sources.
    pub notes: Vec<Note>,
    /// The resize for one other size of the input, if the source of the resize states it.
    resize_at: Option<(ImageSize, WithOrigin<Resize>)>,
    resize_is_for_squares: bool,
    /// True if the caller gave the labels.
    has_given_labels: bool,
    /// The ends of the graph of a model with several outputs, or the only one if it joins heads.
    ends: Vec<End>,
    /// The model, as its source is displayed.
    model: String,
    /// Recipes that the name of the model suggests.
    advice: Option<String>,
}

impl ResolvedPreprocessing {
    /// Resolves the preprocessing of `model` from `overrides`, the model and the files next to it. No files are next
    /// to a model in memory.
    ///
    /// A model that cannot be read has no sources: the engine's error describes the fault better.
    ///
    /// # Errors
    ///
    /// [`ResolveError`] for overrides that contradict each other, and for a source that cannot be used.
    pub fn find(
        model: impl Into<ModelSource>,
        overrides: &PreprocessOverrides,
    ) -> Result<Self, ResolveError> {
        let model = model.into();
        let in_model = |source| ResolveError::Source {
            model: model.to_string(),
            source,
        };
        // OpenVINO would try all of its formats on it, each with a complaint on stderr.
        if is_image(&model) {
            return Err(ResolveError::ImageAsModel {
                model: model.to_string(),
            });
        }
        if let Some(foreign) = Foreign::of(&model) {
            return Err(ResolveError::ForeignFile {
                model: model.to_string(),
                foreign,
            });
        }
        let mut notes = Vec::new();
        let gives_labels = overrides.labels.is_some()
            || overrides
                .preprocess
                .as_ref()
                .is_some_and(|file| file.labels.is_some());
        let found = match sources::find_with(&model, !gives_labels) {
            Ok(found) => found,
            Err(error) if error.is_io() => Found::default(),
            Err(error) if error.is_unsupported() && overrides.is_complete() => {
                notes.push(Note::new(format!(
                    "{error}; the given values replace all other sources, including labels: give `labels`"
                )));
                Found::default()
            }
            // A file whose content contradicts its name never reaches an engine: OpenVINO would try all
            // of its formats on it and write each one's complaint to stderr.
            Err(error) => return Err(in_model(error)),
        };
        let mut stated = overrides.stated()?;
        if let Some(recipe) = &overrides.recipe {
            notes.extend(recipe_note(recipe));
            // The recipe is that of the original weights, like a file next to the model.
            let original = recipe.settings();
            let name = format!("recipe {recipe}");
            let remaining = found.remaining(&name, &original).map_err(in_model)?;
            stated = remaining.into_iter().chain(stated).collect();
        }
        let mut resolved = Self::combine(overrides, &stated, &found.sources)?;
        resolved.advice = recipes::advice(&found.identity);
        resolved.ends = found.ends;
        resolved.model = model.to_string();
        notes.extend(resolved.unit_warning());
        let mut is_decided = resolved.has_given_labels;
        if overrides.labels.is_some() {
            resolved.labels.clone_from(&overrides.labels);
        } else if !is_decided {
            let beside = model.path().map(|model| model.with_extension("labels"));
            if let Some(beside) = beside.filter(|beside| is_there(beside)) {
                // OpenVINO's samples read this file; lists inside models have no blanks.
                resolved.labels = Some(sources::read_labels(&beside).map_err(in_model)?);
                is_decided = true;
            }
        }
        notes.append(&mut resolved.notes);
        if !is_decided {
            let sources = stated.iter().chain(&found.sources);
            let unreadable = sources.filter_map(|source| source.unreadable_labels.as_ref());
            notes.extend(unreadable.map(Note::new));
        }
        resolved.notes = notes;
        Ok(resolved)
    }

    /// Resolves the preprocessing from `overrides` alone.
    ///
    /// # Errors
    ///
    /// [`ResolveError`] for overrides that contradict each other.
    pub fn from_overrides(overrides: &PreprocessOverrides) -> Result<Self, ResolveError> {
        let mut resolved = Self::combine(overrides, &overrides.stated()?, &[])?;
        resolved
            .notes
            .extend(overrides.recipe.as_ref().and_then(recipe_note));
        let warning = resolved.unit_warning();
        resolved.notes.extend(warning);
        if overrides.labels.is_some() {
            resolved.labels.clone_from(&overrides.labels);
        }
        Ok(resolved)
    }

    /// Takes each value from `overrides`, else from the first of the sources `stated` by the caller, and then `found`,
    /// that has it.
    fn combine(
        overrides: &PreprocessOverrides,
        stated: &[SourceSettings],
        found: &[SourceSettings],
    ) -> Result<Self, ResolveError> {
        let base = Self::of_sources(&[stated, found].concat());
        let flags = [overrides.settings(&base.preprocess)?];
        let given = [&flags[..], stated].concat();
        let mut notes = contradictions(stated, &flags);
        notes.extend(contradictions(found, &given));
        let resolved = Self::of_sources(&[&given[..], found].concat());
        let on_values = resolved.settings.iter().filter_map(|it| it.note.as_ref());
        notes.extend(on_values.map(Note::new));
        let unreadable = found.iter().flat_map(|source| &source.unreadable);
        notes.extend(unreadable.map(Note::new));
        Ok(Self {
            scores: overrides.scores,
            decode: overrides.decode,
            unused: found
                .iter()
                .flat_map(|source| source.unused.clone())
                .collect(),
            notes,
            has_given_labels: overrides.labels.is_some()
                || stated.iter().any(|source| source.labels.is_some()),
            ..resolved
        })
    }

    /// Takes each value from the first of `sources` that has it, and from [`Preprocess::OPENVINO_SAMPLE`] where none
    /// has.
    fn of_sources(sources: &[SourceSettings]) -> Self {
        let convention = Preprocess::OPENVINO_SAMPLE;
        let each = || sources.iter();
        let (color, color_setting) = choose(
            "color",
            each().map(|source| &source.color),
            convention.color,
            ToString::to_string,
        );
        let (mean, mean_setting) = choose(
            "mean",
            each().map(|source| &source.mean),
            convention.mean,
            three,
        );
        let (scale, scale_setting) = choose(
            "scale",
            each().map(|source| &source.scale),
            convention.scale,
            three,
        );
        let (resize, resize_setting) = choose(
            "resize",
            each().map(|source| &source.resize),
            convention.resize,
            ToString::to_string,
        );
        let (interpolation, interpolation_setting) = choose(
            "interpolation",
            each().map(|source| &source.interpolation),
            convention.interpolation,
            ToString::to_string,
        );
        let settings = vec![
            color_setting,
            mean_setting,
            scale_setting,
            resize_setting,
            interpolation_setting,
        ];
        let resizes = sources.iter().find(|source| source.resize.is_some());
        let is_assumed = |setting: &&Setting| setting.origin == SettingOrigin::Convention;
        Self {
            preprocess: Preprocess {
                color,
                mean,
                scale,
                resize,
                interpolation,
            },
            size: first(each().map(|source| &source.size)),
            layout: first(each().map(|source| &source.layout)),
            labels: first(each().map(|source| &source.labels)),
            multi_label: first(each().map(|source| &source.multi_label)),
            output: first(each().map(|source| &source.output)),
            quantization: first(each().map(|source| &source.quantization)),
            input_quantization: first(each().map(|source| &source.input_quantization)),
            scores: ScoreKind::Auto,
            decode: Decode::Exact,
            assumed: settings
                .iter()
                .filter(is_assumed)
                .map(|setting| setting.key)
                .collect(),
            settings,
            unused: Vec::new(),
            notes: Vec::new(),
            resize_at: resizes.and_then(|source| source.resize_at.clone()),
            resize_is_for_squares: resizes.is_some_and(|source| source.resize_is_for_squares),
            has_given_labels: false,
            ends: Vec::new(),
            model: String::new(),
            advice: None,
        }
    }
}

/// Returns a note on the weights that a recipe selects, if other weights of the model have another recipe.
fn recipe_note(recipe: &Recipe) -> Option<Note> {
    let others = recipe.alternatives();
    let text = match &others[..] {
        [] => return None,
        [other] => format!("{other} uses different preprocessing"),
        [other, ..] => format!(
            "{} others use different preprocessing, such as {other}",
            others.len()
        ),
    };
    Some(Note::new(format!(
        "`recipe` selects the default weights, {recipe}; {text}"
    )))
}

/// Returns whether `model` begins as an image does.
fn is_image(model: &ModelSource) -> bool {
    match model {
        ModelSource::Path(path) => has_image_magic(path),
        ModelSource::Bytes { model, .. } => Image::recognises(model),
    }
}

/// Returns notes on contradictions between the model and the files next to it, unless `given` decides.
fn contradictions(found: &[SourceSettings], given: &[SourceSettings]) -> Vec<Note> {
    let decided = ResolvedPreprocessing::of_sources(given);
    ResolvedPreprocessing::of_sources(found)
        .settings
        .iter()
        .filter(|setting| decided.assumed.contains(&setting.key))
        .flat_map(|setting| {
            setting.others.iter().map(|(value, origin)| {
                Note::new(format!(
                    "{} is {} ({}), but {value} ({origin}); using the first",
                    setting.key, setting.value, setting.origin
                ))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use model_file::onnx::{Model, StringStringEntry};
    use prost::Message as _;

    use super::*;
    use crate::ColorOrder;

    #[test]
    fn the_first_source_wins_and_others_are_kept() {
        let overrides = PreprocessOverrides {
            color: Some(ColorOrder::Rgb),
            ..PreprocessOverrides::default()
        };
        let model = SourceSettings {
            color: Some(WithOrigin::new(ColorOrder::Bgr, "model_info")),
            mean: Some(WithOrigin::new([1.0, 2.5, 3.0], "model_info mean_values")),
            ..SourceSettings::default()
        };
        let resolved = ResolvedPreprocessing::combine(&overrides, &[], &[model]).unwrap();
        assert_eq!(resolved.assumed, ["scale", "resize", "interpolation"]);
        assert_eq!(resolved.preprocess.color, ColorOrder::Rgb);
        assert_eq!(resolved.notes, [], "the caller decides");
        let [color, mean, scale, ..] = &resolved.settings[..] else {
            panic!("{resolved:?}");
        };
        assert_eq!(color.origin, SettingOrigin::Override("color"));
        assert_eq!(color.others, [("bgr".to_owned(), "model_info".into())]);
        assert_eq!(
            (mean.value.as_str(), &mean.origin),
            ("1,2.5,3", &"model_info mean_values".into())
        );
        assert_eq!(
            (scale.value.as_str(), &scale.origin),
            ("1,1,1", &SettingOrigin::Convention)
        );
        let nothing = ResolvedPreprocessing::of_sources(&[SourceSettings::default()]);
        assert_eq!(nothing.assumed.len(), 5);
        assert_eq!(nothing.preprocess, Preprocess::OPENVINO_SAMPLE);
    }

    /// Returns a model without any statements, with `labels` next to it.
    pub(super) fn bare_model(labels: Option<&str>) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("model.onnx");
        std::fs::write(&model, "\x08\x08").unwrap();
        if let Some(labels) = labels {
            std::fs::write(directory.path().join("model.labels"), labels).unwrap();
        }
        (directory, model)
    }

    #[test]
    fn unreadable_names_are_noted_unless_other_labels_replace_them() {
        let (directory, model) = bare_model(None);
        let metadata = "task: classify\nimgsz: [8, 8]\nnames:\n  0: cat\n  2: dog\n";
        let path = directory.path().join("metadata.yaml");
        std::fs::write(&path, metadata).unwrap();
        let notes = |overrides: &PreprocessOverrides| {
            let resolved = ResolvedPreprocessing::find(&model, overrides).unwrap();
            let texts = resolved.notes.into_iter().map(|note| note.text);
            texts
                .filter(|text| text.contains("no labels from there"))
                .count()
        };
        let nothing = PreprocessOverrides::default();
        assert_eq!(notes(&nothing), 1);
        let labels = Labels::from_names(vec!["cat".to_owned(), "dog".to_owned()]);
        let given = PreprocessOverrides {
            labels: Some(WithOrigin::new(labels, "labels.txt")),
            ..PreprocessOverrides::default()
        };
        assert_eq!(notes(&given), 0);
        std::fs::write(directory.path().join("model.labels"), "cat\ndog\n").unwrap();
        assert_eq!(notes(&nothing), 0);
        // A file that the user names is read in the same way.
        let (_other, model) = bare_model(None);
        let named = PreprocessOverrides {
            preprocess: Some(sources::read_file(&path).unwrap()),
            ..PreprocessOverrides::default()
        };
        let resolved = ResolvedPreprocessing::find(&model, &named).unwrap();
        assert!(
            resolved.notes[0].text.contains("no labels from there"),
            "{:?}",
            resolved.notes
        );
    }

    #[test]
    fn a_mean_in_the_wrong_unit_is_a_warning() {
        let (_directory, model) = bare_model(None);
        let overrides = PreprocessOverrides {
            mean: Some([0.485, 0.456, 0.406]),
            ..PreprocessOverrides::default()
        };
        let resolved = ResolvedPreprocessing::find(&model, &overrides).unwrap();
        assert_eq!(resolved.notes[0].severity, Severity::Warning);
        assert!(resolved.notes[0].text.contains("multiply both by 255"));
        let warning = |mean: f32, scale: f32| {
            let overrides = PreprocessOverrides {
                mean: Some([mean; 3]),
                scale: Some([scale; 3]),
                ..PreprocessOverrides::default()
            };
            let resolved = ResolvedPreprocessing::find(&model, &overrides).unwrap();
            let warnings = resolved.notes.into_iter();
            let mut warnings = warnings.filter(|note| note.severity == Severity::Warning);
            warnings.next().map(|note| note.text)
        };
        for (mean, scale, expected) in [
            (0.5, 58.395, "give 127.5,127.5,127.5 as `mean`"),
            (127.5, 0.5, "give 127.5,127.5,127.5 as `scale`"),
            (0.0, 1.0 / 255.0, "give 255,255,255"),
            (0.0, 0.0039, "give 256,256,256"),
            (0.5, 0.5, "multiply both by 255"),
        ] {
            let text = warning(mean, scale).unwrap_or_default();
            assert!(text.contains(expected), "{mean} {scale}: {text}");
        }
        assert_eq!(warning(0.0, 255.0), None);
        assert_eq!(warning(127.5, 127.5), None);
    }

    #[test]
    fn a_recipe_comes_after_the_fields_and_before_the_model() {
        let (directory, model) = bare_model(None);
        let config = r#"{"do_rescale": true, "image_processor_type": "UnknownImageProcessor"}"#;
        std::fs::write(directory.path().join("preprocessor_config.json"), config).unwrap();
        let mut overrides = PreprocessOverrides {
            recipe: Some("torchvision:resnet50".parse().unwrap()),
            mean: Some([127.0; 3]),
            ..PreprocessOverrides::default()
        };
        let resolved = ResolvedPreprocessing::find(&model, &overrides).unwrap();
        let settings: Vec<String> = resolved.settings.iter().map(ToString::to_string).collect();
        let by = "(recipe torchvision:resnet50@IMAGENET1K_V2)";
        let expected = [
            format!("color = rgb {by}"),
            "mean = 127,127,127 (`mean`)".to_owned(),
            format!("scale = 58.395,57.12,57.375 {by}"),
            format!("resize = short:232 {by}"),
            format!("interpolation = bilinear {by}"),
        ];
        assert_eq!(settings, expected);
        let notes: Vec<&str> = resolved.notes.iter().map(|note| &*note.text).collect();
        let [replaced, default_weights] = notes[..] else {
            panic!("{notes:?}")
        };
        assert!(replaced.contains("UnknownImageProcessor"), "{replaced}");
        assert_eq!(
            default_weights,
            "`recipe` selects the default weights, torchvision:resnet50@IMAGENET1K_V2; \
             torchvision:resnet50@IMAGENET1K_V1 uses different preprocessing"
        );
        overrides.preprocess = Some(SourceSettings::default());
        let error = ResolvedPreprocessing::find(&model, &overrides).unwrap_err();
        assert!(matches!(error, ResolveError::RecipeAndFile), "{error}");
    }

    #[test]
    fn a_recipe_leaves_out_what_the_graph_does_itself() {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("model.xml");
        let ir = |mean: &str| {
            let entries = format!(
                r#"<mean_values value="{mean}"/><scale_values value="[58.395,57.12,57.375]"/>"#
            );
            let parameters = format!("<conversion_parameters>{entries}</conversion_parameters>");
            format!(r#"<net version="11"><layers/><edges/><rt_info>{parameters}</rt_info></net>"#)
        };
        std::fs::write(&model, ir("[123.675,116.28,103.53]")).unwrap();
        let overrides = PreprocessOverrides {
            recipe: Some("torchvision:alexnet".parse().unwrap()),
            ..PreprocessOverrides::default()
        };
        let resolved = ResolvedPreprocessing::find(&model, &overrides).unwrap();
        assert_eq!(resolved.preprocess.mean, [0.0; 3]);
        assert_eq!(resolved.preprocess.scale, [1.0; 3]);
        assert_eq!(resolved.preprocess.color, ColorOrder::Rgb);
        let notes: Vec<&str> = resolved.notes.iter().map(|note| &*note.text).collect();
        assert_eq!(
            notes[0],
            "mean is 0,0,0 (conversion_parameters: the model's graph does that itself), but 123.675,116.28,103.53 \
             (recipe torchvision:alexnet@IMAGENET1K_V1); using the first"
        );
        // Either the caller names the wrong weights, or the converter got wrong numbers.
        std::fs::write(&model, ir("[127,127,127]")).unwrap();
        let error = ResolvedPreprocessing::find(&model, &overrides).unwrap_err();
        assert!(matches!(error, ResolveError::Source { .. }), "{error}");
    }

    #[test]
    fn the_name_of_a_bare_model_suggests_recipes() {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("MobileNet-V2.onnx");
        let proto = Model {
            producer_name: Some("pytorch".into()),
            ..Model::default()
        };
        std::fs::write(&model, proto.encode_to_vec()).unwrap();
        let overrides = PreprocessOverrides::default();
        let resolved = ResolvedPreprocessing::find(&model, &overrides).unwrap();
        let advice = resolved.advice.unwrap();
        assert_eq!(
            advice,
            "if these are torchvision's weights, give `recipe = torchvision:mobilenet_v2`"
        );
    }

    #[test]
    fn an_image_is_no_model() {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("cat.png");
        std::fs::write(&model, b"\x89PNG\r\n\x1a\n").unwrap();
        let error = ResolvedPreprocessing::find(&model, &PreprocessOverrides::default());
        assert!(matches!(error, Err(ResolveError::ImageAsModel { .. })));
    }

    #[test]
    fn a_model_in_memory_states_its_own_values_alone() {
        let entry = |key: &'static str, value: &'static str| StringStringEntry {
            key: Some(key.into()),
            value: Some(value.into()),
        };
        let proto = Model {
            metadata_props: vec![
                entry("model_info mean_values", "1 2 3"),
                entry("model_info path_to_labels", "labels.txt"),
            ],
            ..Model::default()
        };
        let (_directory, file) = bare_model(Some("cat\ndog\n"));
        std::fs::write(&file, proto.encode_to_vec()).unwrap();
        let overrides = PreprocessOverrides::default();
        let error = ResolvedPreprocessing::find(&file, &overrides).unwrap_err();
        assert!(matches!(error, ResolveError::Source { .. }), "{error}");
        let model = ModelSource::from_bytes(std::fs::read(&file).unwrap());
        let resolved = ResolvedPreprocessing::find(&model, &overrides).unwrap();
        assert_eq!(resolved.preprocess.mean, [1.0, 2.0, 3.0]);
        assert_eq!(resolved.labels, None);
        assert_eq!(resolved.unused, ["model_info: path_to_labels"]);
        let image = ModelSource::from_bytes(*b"\x89PNG\r\n\x1a\n");
        let error = ResolvedPreprocessing::find(image, &overrides).unwrap_err();
        assert_eq!(
            error.to_string(),
            "8 bytes in memory is an image, not a model"
        );
    }
}
