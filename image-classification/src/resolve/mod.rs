//! The preprocessing of a model, resolved from the caller's values, the model, and the files beside it.

mod error;
mod note;
mod overrides;
mod reading;

use backend_api::{BackendInfo, ElementType, ModelSource, Tensor};

pub use self::error::ResolveError;
pub use self::note::{Note, Severity};
pub use self::overrides::{PreprocessOverrides, ResizeOverride};
pub use self::reading::OutputReading;
use crate::setting::{choose, first, three};
use crate::sources::{self, SourceSettings};
use crate::{
    Decode, Image, ImageLayout, ImageSize, InputLayout, Labels, OutputKind, Preparation,
    Preprocess, Quantization, ScoreKind, Setting, SettingOrigin, WithOrigin, has_image_magic,
};

/// The source of values that the engine reports.
const INPUT: &str = "the model's input";

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
    /// The requested kind of scores.
    pub scores: ScoreKind,
    /// The way in which JPEGs are decoded.
    pub decode: Decode,
    /// The values of [`preprocess`](Self::preprocess), with their origins.
    pub settings: Vec<Setting>,
    /// The names of the values that no source states: they come from [`SettingOrigin::Convention`].
    pub assumed: Vec<&'static str>,
    /// Keys of the sources that change nothing.
    pub unused: Vec<String>,
    /// Notes on the sources.
    pub notes: Vec<Note>,
    /// True if the caller gave the labels.
    has_given_labels: bool,
}

impl ResolvedPreprocessing {
    /// Resolves the preprocessing of `model` from `overrides`, the model and the files beside it. Nothing lies beside a
    /// model in memory.
    ///
    /// A model that cannot be read has no sources: the engine's error says more about it.
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
        let mut notes = Vec::new();
        let found = match sources::find(&model) {
            Ok(found) => found,
            Err(error) if error.is_io() => Vec::new(),
            Err(error) if error.is_unsupported() && overrides.is_complete() => {
                notes.push(Note::new(format!(
                    "{error}; the given values replace all other sources, including labels: give `labels`"
                )));
                Vec::new()
            }
            // A file that is not what its name says never reaches an engine: OpenVINO would try all
            // of its formats on it and write each one's complaint to stderr.
            Err(error) => return Err(in_model(error)),
        };
        notes.extend(overrides.unit_warning());
        let mut resolved = Self::combine(overrides, &found)?;
        if overrides.labels.is_some() {
            resolved.labels.clone_from(&overrides.labels);
        } else if !resolved.has_given_labels {
            let beside = model.path().map(|model| model.with_extension("labels"));
            if let Some(beside) = beside.filter(|beside| beside.is_file()) {
                // OpenVINO's samples read this file; lists inside models have no blanks.
                resolved.labels = Some(sources::read_labels(&beside).map_err(in_model)?);
            }
        }
        notes.append(&mut resolved.notes);
        resolved.notes = notes;
        Ok(resolved)
    }

    /// Resolves the preprocessing from `overrides` alone.
    ///
    /// # Errors
    ///
    /// [`ResolveError`] for overrides that contradict each other.
    pub fn from_overrides(overrides: &PreprocessOverrides) -> Result<Self, ResolveError> {
        let mut resolved = Self::combine(overrides, &[])?;
        resolved.notes.extend(overrides.unit_warning());
        if overrides.labels.is_some() {
            resolved.labels.clone_from(&overrides.labels);
        }
        Ok(resolved)
    }

    /// Takes each value from `overrides`, else from the first of the sources `found` that has it.
    fn combine(
        overrides: &PreprocessOverrides,
        found: &[SourceSettings],
    ) -> Result<Self, ResolveError> {
        let file: Vec<_> = overrides.preprocess.iter().cloned().collect();
        let base = Self::of_sources(&[&file[..], found].concat());
        let given = overrides.settings(&base.preprocess)?;
        let given = [&[given][..], &file].concat();
        Ok(Self {
            scores: overrides.scores,
            decode: overrides.decode,
            unused: found
                .iter()
                .flat_map(|source| source.unused.clone())
                .collect(),
            notes: contradictions(found, &given),
            has_given_labels: overrides.labels.is_some()
                || file.iter().any(|file| file.labels.is_some()),
            ..Self::of_sources(&[&given[..], found].concat())
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
            has_given_labels: false,
        }
    }

    /// Fits the preprocessing to the input and the output that the engine reports.
    ///
    /// # Errors
    ///
    /// [`ResolveError`] for a model whose input takes no images prepared that way, or whose classes are not as many as
    /// the given labels.
    pub fn fit(self, info: &BackendInfo) -> Result<FittedPreprocessing, ResolveError> {
        let layout = self.input_layout(info)?;
        self.preprocess.check(&layout)?;
        let mut notes = self.size_note(layout)?;
        notes.extend(self.convention_note(layout));
        if let Some(stated) = self.multi_label.as_ref().filter(|stated| stated.value)
            && self.scores == ScoreKind::Softmax
        {
            return Err(ResolveError::SoftmaxOfSeveral {
                origin: stated.origin.clone(),
            });
        }
        let values = info.class_count();
        let reading = OutputReading::decide(&self, info, values)?;
        if let Some(reading) = &reading {
            notes.extend(reading.notes(self.scores, values));
        }
        let classes = match &reading {
            Some(reading) => reading.interpretation.scoring.class_count(values),
            None => values,
        };
        let labels = self.fitted_labels(classes, &mut notes)?;
        Ok(FittedPreprocessing {
            resolved: self,
            layout,
            reading,
            labels,
            values,
            classes,
            notes,
        })
    }

    /// Returns the layout of the model's input. The error names the layout that the input has, if a source states another
    /// one.
    fn input_layout(&self, info: &BackendInfo) -> Result<InputLayout, ResolveError> {
        let size = self.size.as_ref().map(|stated| stated.value);
        let order = self.layout.as_ref().map(|stated| stated.value);
        let error = match InputLayout::from_spec(&info.input, order, size) {
            Ok(layout) => return Ok(layout),
            Err(error) => error,
        };
        let found = InputLayout::from_spec(&info.input, None, size).ok();
        Err(match self.layout.clone().zip(found) {
            Some((stated, found)) => ResolveError::OtherLayout {
                layout: stated.value,
                origin: stated.origin,
                input: info.input.to_string(),
                found: found.order(),
            },
            None => error.into(),
        })
    }

    /// Returns a note on a size that is not that of the input.
    fn size_note(&self, layout: InputLayout) -> Result<Vec<Note>, ResolveError> {
        let input = layout.size();
        let Some(size) = self.size.as_ref().filter(|size| size.value != input) else {
            return Ok(Vec::new());
        };
        if matches!(size.origin, SettingOrigin::Override(_)) {
            return Err(ResolveError::Size {
                size: size.value,
                input,
            });
        }
        Ok(vec![Note::new(format!(
            "the size is {} by {}, but the model's input is {input}; using the model's",
            size.value, size.origin
        ))])
    }

    /// Returns a note on values that no source states. A model that takes bytes normalizes by itself.
    fn convention_note(&self, layout: InputLayout) -> Option<Note> {
        if self.assumed.is_empty() || layout.element_type() == ElementType::U8 {
            return None;
        }
        let fields: Vec<String> = self.assumed.iter().map(|key| format!("`{key}`")).collect();
        Some(Note::new(format!(
            "nothing says the {} of this model; assuming the convention of OpenVINO's samples ({}), which is wrong for \
             most models; give `preprocess` or {}",
            self.assumed.join(", "),
            convention(&self.assumed).join(", "),
            fields.join(", ")
        )))
    }

    /// Returns the labels if they belong to a model of `classes` classes. Other labels would be wrong without anybody
    /// noticing.
    fn fitted_labels(
        &self,
        classes: Option<usize>,
        notes: &mut Vec<Note>,
    ) -> Result<Option<WithOrigin<Labels>>, ResolveError> {
        let Some((WithOrigin { value, origin }, classes)) = self.labels.as_ref().zip(classes)
        else {
            return Ok(self.labels.clone());
        };
        let count = value.len();
        if let Some(fitted) = value.clone().fitted(classes) {
            if count != classes {
                // Never shifted silently.
                notes.push(Note::warning(format!(
                    "the model has {classes} classes and {origin} {count} labels: class 0 is taken for the background"
                )));
            }
            return Ok(Some(WithOrigin::new(fitted, origin.clone())));
        }
        let error = ResolveError::LabelCount {
            count,
            origin: origin.clone(),
            classes,
        };
        if self.has_given_labels {
            return Err(error);
        }
        notes.push(Note::new(format!("{error}; using none")));
        Ok(None)
    }
}

/// The preprocessing of a model that an engine has opened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FittedPreprocessing {
    /// The sources' values.
    pub resolved: ResolvedPreprocessing,
    /// The layout of the model's input.
    pub layout: InputLayout,
    /// The rule that makes scores of outputs. `None` if only outputs tell: see [`read_outputs`](Self::read_outputs).
    pub reading: Option<OutputReading>,
    /// The names of the classes, as many as there are classes.
    pub labels: Option<WithOrigin<Labels>>,
    /// The number of values that the model gives for an image, if it is fixed.
    pub values: Option<usize>,
    /// The number of classes, if it is known.
    pub classes: Option<usize>,
    /// Notes on the fit. Those on the sources are in [`ResolvedPreprocessing::notes`].
    pub notes: Vec<Note>,
}

impl FittedPreprocessing {
    /// The number of images whose outputs [`read_outputs`](Self::read_outputs) should see. Fewer are possible.
    pub const FIRST_IMAGES: usize = 8;

    /// Returns all values of the preprocessing with their origins: those of [`ResolvedPreprocessing::settings`], `size`
    /// and `layout`.
    pub fn settings(&self) -> Vec<Setting> {
        fn origin<T: PartialEq>(stated: Option<&WithOrigin<T>>, used: &T) -> SettingOrigin {
            match stated {
                Some(stated) if stated.value == *used => stated.origin.clone(),
                _ => INPUT.into(),
            }
        }
        let setting = |key, value, origin| Setting {
            key,
            value,
            origin,
            others: Vec::new(),
        };
        let (size, order) = (self.layout.size(), self.layout.order());
        let size_origin = origin(self.resolved.size.as_ref(), &size);
        let order_origin = origin(self.resolved.layout.as_ref(), &order);
        let mut settings = self.resolved.settings.clone();
        settings.extend([
            setting("size", size.to_string(), size_origin),
            setting("layout", order.to_string(), order_origin),
        ]);
        settings
    }

    /// Returns everything that decides which tensor an image becomes. `batch` is for a model that leaves it open.
    pub fn preparation(&self, batch: Option<usize>) -> Preparation {
        Preparation {
            preprocess: self.resolved.preprocess,
            layout: self.layout,
            batch: self.layout.batch().or(batch).unwrap_or(1),
            decode: self.resolved.decode,
        }
    }

    /// Decides the reading by the outputs of the first images, where nothing else does. Outputs that are not finite
    /// decide nothing.
    pub fn read_outputs(&mut self, outputs: &[Tensor]) {
        if self.reading.is_some() {
            return;
        }
        self.reading = OutputReading::of_outputs(&self.resolved, outputs);
        if let Some(reading) = &self.reading {
            self.classes = reading.interpretation.scoring.class_count(self.values);
            self.notes
                .extend(reading.notes(self.resolved.scores, self.values));
        }
    }
}

/// Returns the convention of OpenVINO's samples for the values that no source states.
fn convention(assumed: &[&str]) -> Vec<&'static str> {
    let has = |key: &str| assumed.contains(&key);
    let parts = [
        (has("color"), "BGR"),
        (has("mean") && has("scale"), "0-255"),
        (has("mean") && !has("scale"), "mean 0"),
        (has("scale") && !has("mean"), "scale 1"),
        (has("resize"), "stretched"),
        (has("interpolation"), "OpenCV's bilinear"),
    ];
    let parts = parts.into_iter().filter(|(is_assumed, _)| *is_assumed);
    parts.map(|(_, value)| value).collect()
}

/// Returns whether `model` begins as an image does.
fn is_image(model: &ModelSource) -> bool {
    match model {
        ModelSource::Path(path) => has_image_magic(path),
        ModelSource::Bytes { model, .. } => Image::recognises(model),
    }
}

/// Returns notes on the values on which the model and the files beside it do not agree, unless `given` decides.
fn contradictions(found: &[SourceSettings], given: &[SourceSettings]) -> Vec<Note> {
    let decided = ResolvedPreprocessing::of_sources(given);
    ResolvedPreprocessing::of_sources(found)
        .settings
        .iter()
        .filter(|setting| decided.assumed.contains(&setting.key))
        .flat_map(|setting| {
            setting.others.iter().map(|(value, origin)| {
                Note::new(format!(
                    "{} is {} by {}, but {value} by {origin}; using the first",
                    setting.key, setting.value, setting.origin
                ))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use backend_api::{Dim, TensorSpec};
    use model_file::onnx::{Model, StringStringEntry};
    use prost::Message as _;

    use super::*;
    use crate::{ColorOrder, Scoring};

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
        let resolved = ResolvedPreprocessing::combine(&overrides, &[model]).unwrap();
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

    fn info(input: &[usize], output: &[usize]) -> BackendInfo {
        let spec = |dims: &[usize]| {
            let dims = dims.iter().copied().map(Dim::Fixed).collect();
            TensorSpec::new("x", ElementType::F32, dims)
        };
        BackendInfo::new("mock", spec(input), spec(output))
    }

    /// A model of which nothing is known, with `labels` beside it.
    fn bare_model(labels: Option<&str>) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model.onnx");
        std::fs::write(&model, "").unwrap();
        if let Some(labels) = labels {
            std::fs::write(folder.path().join("model.labels"), labels).unwrap();
        }
        (folder, model)
    }

    fn texts(notes: &[Note]) -> Vec<&str> {
        notes.iter().map(|note| note.text.as_str()).collect()
    }

    #[test]
    fn outputs_decide_the_reading_that_no_source_states() {
        let (_folder, model) = bare_model(Some("cat\ndog\n"));
        let resolved = ResolvedPreprocessing::find(&model, &PreprocessOverrides::default());
        let mut fitted = resolved
            .unwrap()
            .fit(&info(&[2, 3, 8, 8], &[2, 2]))
            .unwrap();
        assert_eq!(fitted.reading, None);
        assert_eq!((fitted.values, fitted.classes), (Some(2), Some(2)));
        assert_eq!(fitted.labels.as_ref().unwrap().value.get(1), Some("dog"));
        let [note] = texts(&fitted.notes)[..] else {
            panic!("{:?}", fitted.notes)
        };
        assert!(
            note.ends_with(
                "give `preprocess` or `color`, `mean`, `scale`, `resize`, `interpolation`"
            ),
            "{note}"
        );
        let not_finite = Tensor::new([1, 2], vec![f32::NAN, 0.0]).unwrap();
        fitted.read_outputs(std::slice::from_ref(&not_finite));
        assert_eq!(fitted.reading, None);
        let logits = Tensor::new([1, 2], vec![-3.0_f32, 4.0]).unwrap();
        fitted.read_outputs(&[not_finite, logits]);
        let reading = fitted.reading.clone().unwrap();
        assert_eq!(reading.interpretation.scoring, Scoring::Softmax);
        assert!(reading.interpretation.inferred);
        assert_eq!(reading.origin, "the first 2 images".into());
        // The first decision stays.
        let probabilities = Tensor::new([1, 2], vec![0.25_f32, 0.75]).unwrap();
        fitted.read_outputs(&[probabilities]);
        assert_eq!(fitted.reading, Some(reading));
        assert_eq!(fitted.notes.len(), 2);
    }

    #[test]
    fn labels_that_do_not_fit_are_dropped_or_an_error() {
        let (_folder, model) = bare_model(Some("cat\ndog\n"));
        let mut overrides = PreprocessOverrides::default();
        let three = info(&[1, 3, 8, 8], &[1, 3]);
        let found = ResolvedPreprocessing::find(&model, &overrides).unwrap();
        let fitted = found.fit(&three).unwrap();
        assert_eq!(fitted.labels, None);
        let last = texts(&fitted.notes).pop().unwrap_or_default().to_owned();
        assert!(
            last.ends_with("but the model has 3 classes; using none"),
            "{last}"
        );
        let given = Labels::from_names(vec!["cat".into(), "dog".into()]);
        overrides.labels = Some(WithOrigin::new(given, SettingOrigin::Override("labels")));
        let given = ResolvedPreprocessing::find(&model, &overrides).unwrap();
        let error = given.fit(&three).unwrap_err();
        let text = "there are 2 labels in `labels`, but the model has 3 classes";
        assert_eq!(error.to_string(), text);
        assert!(error.hint().contains("class 0 is the background"));
    }

    #[test]
    fn a_given_size_has_to_be_that_of_the_input() {
        let (_folder, model) = bare_model(None);
        let size = ImageSize {
            width: 7,
            height: 8,
        };
        let overrides = PreprocessOverrides {
            size: Some(size),
            ..PreprocessOverrides::default()
        };
        let resolved = ResolvedPreprocessing::find(&model, &overrides).unwrap();
        let error = resolved
            .clone()
            .fit(&info(&[1, 3, 8, 8], &[1, 3]))
            .unwrap_err();
        let text = "the size is 7 x 8 by `size`, but the model's input is 8 x 8";
        assert_eq!(error.to_string(), text);
        let fitted = resolved.fit(&info(&[1, 3, 8, 7], &[1, 3])).unwrap();
        let settings = fitted.settings();
        let settings = settings[5..].iter().map(ToString::to_string);
        let expected = ["size = 7 x 8 (`size`)", "layout = NCHW (the model's input)"];
        assert_eq!(settings.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_mean_in_the_wrong_unit_is_a_warning() {
        let (_folder, model) = bare_model(None);
        let overrides = PreprocessOverrides {
            mean: Some([0.485, 0.456, 0.406]),
            ..PreprocessOverrides::default()
        };
        let resolved = ResolvedPreprocessing::find(&model, &overrides).unwrap();
        assert_eq!(resolved.notes[0].severity, Severity::Warning);
        assert!(resolved.notes[0].text.contains("multiply both by 255"));
    }

    #[test]
    fn an_image_is_no_model() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("cat.png");
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
        let (_folder, file) = bare_model(Some("cat\ndog\n"));
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
