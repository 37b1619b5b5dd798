//! The preprocessing of a model, fitted to the input and output that an engine reports.

use backend_api::{BackendInfo, ElementType, Tensor};

use super::input::INPUT;
use super::{Note, OutputReading, ResolveError, ResolvedPreprocessing, ranked};
use crate::sources::End;
use crate::{
    ImageSize, InputLayout, Labels, Preparation, ScoreKind, Setting, SettingOrigin, WithOrigin,
};

impl ResolvedPreprocessing {
    /// Fits the preprocessing to the input and the output that the engine reports.
    ///
    /// # Errors
    ///
    /// [`ResolveError`] if the model's input does not fit the preprocessing, or its number of classes differs from
    /// the given labels.
    pub fn fit(mut self, info: &BackendInfo) -> Result<FittedPreprocessing, ResolveError> {
        let layout = self.input_layout(info)?;
        self.fit_resize(layout.size())?;
        let mut notes: Vec<Note> = self.fit_channels(&layout).into_iter().collect();
        let (layout, values_note) = self.fit_values(layout);
        self.preprocess.check(&layout)?;
        notes.extend(self.clipping_note(&layout));
        notes.extend(self.size_note(layout)?);
        let convention_note = self.convention_note(layout);
        let is_covered = convention_note.is_some() && self.input_quantization.is_none();
        notes.extend(convention_note);
        notes.extend(values_note.filter(|_| !is_covered));
        if let Some(stated) = self.multi_label.as_ref().filter(|stated| stated.value)
            && self.scores == ScoreKind::Softmax
        {
            return Err(ResolveError::SoftmaxOfSeveral {
                origin: stated.origin.clone(),
            });
        }
        notes.extend(self.take_end(info)?);
        let values = info.class_count();
        let reading = OutputReading::decide(&self, info, values)?;
        if let Some(reading) = &reading {
            notes.extend(reading.notes(self.scores, info.output.element_type, values));
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

    /// Fills the output kind and quantization from the graph end at the selected output. Other sources take precedence.
    /// Returns a warning on an output that joins heads.
    fn take_end(&mut self, info: &BackendInfo) -> Result<Option<Note>, ResolveError> {
        let model = self.model.clone();
        let failed = |source| ResolveError::Source {
            model: model.clone(),
            source,
        };
        let mut warning = None;
        End::check_assumed(&self.ends, info).map_err(failed)?;
        if let Some(end) = End::of(&self.ends, info) {
            end.check().map_err(failed)?;
            let has_several = self.multi_label.as_ref().is_some_and(|it| it.value);
            if let Some(heads) = end.heads.as_ref().filter(|_| self.scores != ScoreKind::Raw) {
                heads.check(has_several).map_err(failed)?;
                let is_open = self.scores == ScoreKind::Auto && !has_several;
                warning = heads.warning().filter(|_| is_open).map(Note::warning);
            }
            let stated = &end.settings;
            self.output = self.output.take().or_else(|| stated.output.clone());
            self.quantization = self
                .quantization
                .take()
                .or_else(|| stated.quantization.clone());
        }
        self.take_pair(info).map_err(failed)?;
        Ok(warning)
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

    /// States the resize for an input of `input`.
    fn fit_resize(&mut self, input: ImageSize) -> Result<(), ResolveError> {
        let at = self.resize_at.take_if(|(size, _)| *size == input);
        if let Some((size, resize)) = &at {
            self.preprocess.resize = resize.value;
            let is_given = |size: &WithOrigin<_>| matches!(size.origin, SettingOrigin::Override(_));
            if !self.size.as_ref().is_some_and(is_given) {
                self.size = Some(WithOrigin::new(*size, resize.origin.clone()));
            }
        }
        self.preprocess.resize = self.preprocess.resize.for_input(input);
        let setting = self.settings.iter_mut().find(|it| it.key == "resize");
        if let Some(setting) = setting {
            setting.value = self.preprocess.resize.to_string();
            if let Some((_, resize)) = at {
                setting.origin = resize.origin;
            }
            if self.resize_is_for_squares && input.width != input.height {
                return Err(ResolveError::ResizeOfSquares {
                    resize: self.preprocess.resize,
                    origin: setting.origin.clone(),
                    input,
                });
            }
        }
        Ok(())
    }

    /// Returns a note on a size that differs from the input.
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
            "the size is {} ({}), but the model's input is {input}; using the size of the input",
            size.value, size.origin
        ))])
    }

    /// Returns a warning on values that no source states. A model that takes integers normalizes by itself.
    fn convention_note(&self, layout: InputLayout) -> Option<Note> {
        let element_type = layout.element_type();
        let normalizes = !element_type.is_float() && layout.quantization().is_none();
        let assumed = self.assumed.iter().copied();
        let assumed = assumed.filter(|key| !normalizes || !matches!(*key, "mean" | "scale"));
        let assumed: Vec<&str> = assumed.collect();
        if assumed.is_empty() {
            return None;
        }
        let fields: Vec<String> = assumed.iter().map(|key| format!("`{key}`")).collect();
        let advice = self.advice.as_ref();
        let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
        let (wrong, more) = if !normalizes {
            ("is wrong for most models", String::new())
        } else if element_type == ElementType::U8 {
            let more = "; its input takes bytes, which are not normalized";
            ("may be wrong", more.to_owned())
        } else {
            let more = format!("; its input takes {element_type}, which are not normalized");
            ("may be wrong", more)
        };
        Some(Note::warning(format!(
            "the model and its files do not state the {}; assuming the convention of OpenVINO's samples ({}), which \
             {wrong}{more}; \
             give `recipe`, `preprocess` or {}{advice}",
            assumed.join(", "),
            convention(&assumed).join(", "),
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
        let Some((WithOrigin { value, origin, .. }, classes)) = self.labels.as_ref().zip(classes)
        else {
            return Ok(self.labels.clone());
        };
        let count = value.len();
        if let Some(fitted) = value.clone().fitted(classes) {
            if count != classes {
                // Never shifted silently.
                notes.push(Note::warning(format!(
                    "the model has {classes} classes, but {origin} has {count} labels: class 0 is taken as the \
                     background"
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
        notes.push(Note::new(format!("{error}; using no labels")));
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
    /// The rule that turns outputs into scores. `None` if only outputs decide it: see
    /// [`read_outputs`](Self::read_outputs).
    pub reading: Option<OutputReading>,
    /// The names of the classes, as many as there are classes.
    pub labels: Option<WithOrigin<Labels>>,
    /// The number of output values for each image, if it is fixed.
    pub values: Option<usize>,
    /// The number of classes, if it is known.
    pub classes: Option<usize>,
    /// Notes on the fit. Those on the sources are in [`ResolvedPreprocessing::notes`].
    pub notes: Vec<Note>,
}

impl FittedPreprocessing {
    /// The number of images whose outputs [`read_outputs`](Self::read_outputs) should see. Fewer are possible.
    /// [`FirstOutputs`](crate::FirstOutputs) collects them, and [`take_first_answers`](crate::take_first_answers) decides
    /// by them.
    pub const FIRST_IMAGES: usize = 8;

    /// Returns all values of the preprocessing with their origins: [`ResolvedPreprocessing::settings`], `size`,
    /// `layout` and, if integers stand for real values, `input_quantization`.
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
            note: None,
        };
        let (size, order) = (self.layout.size(), self.layout.order());
        let size_origin = origin(self.resolved.size.as_ref(), &size);
        let order_origin = origin(self.resolved.layout.as_ref(), &order);
        let mut settings = self.resolved.settings.clone();
        settings.extend([
            setting("size", size.to_string(), size_origin),
            setting("layout", order.to_string(), order_origin),
        ]);
        let quantization = self.layout.quantization();
        settings.extend(
            quantization
                .zip(self.resolved.input_quantization.as_ref())
                .map(|(quantization, stated)| {
                    let origin = stated.origin.clone();
                    setting("input_quantization", quantization.to_string(), origin)
                }),
        );
        settings
    }

    /// Returns all settings that decide the tensor of an image. `batch` is for a model with a dynamic batch.
    pub fn preparation(&self, batch: Option<usize>) -> Preparation {
        Preparation {
            preprocess: self.resolved.preprocess,
            layout: self.layout,
            batch: self.layout.batch().or(batch).unwrap_or(1),
            decode: self.resolved.decode,
        }
    }

    /// Decides the reading by the outputs of the first images, if no source does. Outputs that are not finite do not
    /// count.
    pub fn read_outputs(&mut self, outputs: &[Tensor]) {
        if self.reading.is_some() {
            return;
        }
        self.reading = OutputReading::of_outputs(&self.resolved, outputs);
        if let (Some(reading), Some(first)) = (&self.reading, outputs.first()) {
            let element = first.element_type();
            self.classes = reading.interpretation.scoring.class_count(self.values);
            self.notes
                .extend(reading.notes(self.resolved.scores, element, self.values));
            self.notes.extend(ranked::note(&self.resolved, outputs));
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

#[cfg(test)]
mod tests {
    use backend_api::{Dim, TensorSpec};
    use model_file::onnx::{Model, StringStringEntry};
    use prost::Message as _;

    use super::super::tests::bare_model;
    use super::*;
    use crate::{OutputKind, PreprocessOverrides, Scoring};

    fn info(input: &[usize], output: &[usize]) -> BackendInfo {
        let spec = |dims: &[usize]| {
            let dims = dims.iter().copied().map(Dim::Fixed).collect();
            TensorSpec::new("x", ElementType::F32, dims)
        };
        BackendInfo::new("mock", spec(input), spec(output))
    }

    fn texts(notes: &[Note]) -> Vec<&str> {
        notes.iter().map(|note| note.text.as_str()).collect()
    }

    #[test]
    fn model_apis_crop_is_rejected_if_the_sides_of_the_input_differ() {
        let fitted = |keys: &[(&str, &str)], overrides: &PreprocessOverrides, input: &[usize]| {
            let entries = keys.iter().map(|(key, value)| StringStringEntry {
                key: Some(format!("model_info {key}").into()),
                value: Some(value.as_bytes().to_vec().into()),
            });
            let model = Model {
                metadata_props: entries.collect(),
                ..Model::default()
            };
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("model.onnx");
            std::fs::write(&path, model.encode_to_vec()).unwrap();
            let resolved = ResolvedPreprocessing::find(&path, overrides).unwrap();
            let fitted = resolved.fit(&info(input, &[1, 2]));
            fitted.map(|fitted| fitted.resolved.preprocess.resize.to_string())
        };
        let (nothing, wide) = (PreprocessOverrides::default(), [1, 3, 64, 96]);
        let crop = [("resize_type", "crop")];
        let square = fitted(&crop, &nothing, &[1, 3, 96, 96]);
        assert_eq!(square.unwrap(), "crop:1:floor");
        for input in [wide, [1, 3, 96, 64]] {
            let error = fitted(&crop, &nothing, &input).unwrap_err();
            assert!(
                matches!(error, ResolveError::ResizeOfSquares { .. }),
                "{error}"
            );
        }
        let error = fitted(&crop, &nothing, &wide).unwrap_err().to_string();
        assert_eq!(
            error,
            "the resize is crop:1:floor (model_info: resize_type), which is known for square inputs only, but the \
             model's input is 96 x 64"
        );
        // A fraction and the flag state a crop that does not depend on Model API.
        let fraction = [("resize_type", "crop"), ("crop_fraction", "0.875")];
        assert_eq!(fitted(&fraction, &nothing, &wide).unwrap(), "crop:0.875");
        let given = PreprocessOverrides {
            resize: Some("crop:1:floor".parse().unwrap()),
            ..PreprocessOverrides::default()
        };
        assert_eq!(fitted(&crop, &given, &wide).unwrap(), "crop:1:floor");
    }

    #[test]
    fn outputs_decide_the_reading_that_no_source_states() {
        let (_directory, model) = bare_model(Some("cat\ndog\n"));
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
                "give `recipe`, `preprocess` or `color`, `mean`, `scale`, `resize`, `interpolation`"
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
    fn one_open_dimension_may_be_the_batch() {
        let (_directory, model) = bare_model(None);
        for (values, scoring) in [(1, Scoring::PositiveLogit), (3, Scoring::Softmax)] {
            let resolved = ResolvedPreprocessing::find(&model, &PreprocessOverrides::default());
            let mut resolved = resolved.unwrap();
            resolved.output = Some(WithOrigin::new(OutputKind::Logits, "Gemm"));
            let mut open = info(&[1, 3, 8, 8], &[1]);
            open.output.dims = vec![Dim::Dynamic];
            let mut fitted = resolved.fit(&open).unwrap();
            assert_eq!(fitted.reading, None);
            fitted.read_outputs(&[Tensor::new([values], vec![0.5_f32; values]).unwrap()]);
            let reading = fitted.reading.unwrap();
            assert_eq!(reading.interpretation.scoring, scoring);
            assert!(!reading.interpretation.inferred);
            assert_eq!(reading.origin, "Gemm".into());
        }
    }

    #[test]
    fn labels_that_do_not_fit_are_dropped_or_an_error() {
        let (_directory, model) = bare_model(Some("cat\ndog\n"));
        let mut overrides = PreprocessOverrides::default();
        let three = info(&[1, 3, 8, 8], &[1, 3]);
        let found = ResolvedPreprocessing::find(&model, &overrides).unwrap();
        let fitted = found.fit(&three).unwrap();
        assert_eq!(fitted.labels, None);
        let last = texts(&fitted.notes).pop().unwrap_or_default().to_owned();
        assert!(
            last.ends_with("but the model has 3 classes; using no labels"),
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
        let (_directory, model) = bare_model(None);
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
        let text = "`size` is 7 x 8, but the model's input is 8 x 8";
        assert_eq!(error.to_string(), text);
        let fitted = resolved.fit(&info(&[1, 3, 8, 7], &[1, 3])).unwrap();
        let settings = fitted.settings();
        let settings = settings[5..].iter().map(ToString::to_string);
        let expected = ["size = 7 x 8 (`size`)", "layout = NCHW (the model's input)"];
        assert_eq!(settings.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_resize_of_timm_follows_the_input_of_the_model() {
        let (directory, model) = bare_model(None);
        let config = r#"{"architecture": "x", "pretrained_cfg": {"input_size": [3, 224, 224], "crop_pct": 0.95,
            "test_input_size": [3, 288, 288], "test_crop_pct": 1.0}}"#;
        std::fs::write(directory.path().join("config.json"), config).unwrap();
        let fit = |height, width| {
            let overrides = PreprocessOverrides::default();
            let found = ResolvedPreprocessing::find(&model, &overrides).unwrap();
            found.fit(&info(&[1, 3, height, width], &[1, 3])).unwrap()
        };
        for (height, width, expected, notes) in [
            (
                224,
                224,
                "resize = short:235 (config.json: pretrained_cfg.crop_pct, crop_mode)",
                0,
            ),
            (
                160,
                160,
                "resize = short:168 (config.json: pretrained_cfg.crop_pct, crop_mode)",
                1,
            ),
            (
                288,
                288,
                "resize = short:288 (config.json: pretrained_cfg.test_input_size, test_crop_pct)",
                0,
            ),
            (
                288,
                160,
                "resize = center:0.95 (config.json: pretrained_cfg.crop_pct, crop_mode)",
                1,
            ),
        ] {
            let fitted = fit(height, width);
            assert_eq!(fitted.settings()[3].to_string(), expected);
            assert_eq!(
                fitted.settings()[3].value,
                fitted.resolved.preprocess.resize.to_string()
            );
            // A note on the size.
            let about_size = texts(&fitted.notes);
            let about_size = about_size
                .iter()
                .filter(|note| note.contains("the size is"));
            assert_eq!(about_size.count(), notes, "{height} x {width}");
        }
    }

    #[test]
    fn the_end_of_the_graph_counts_at_the_chosen_output() {
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/");
        for (file, output, expected) in [
            (
                "three-outputs.onnx",
                "logits",
                Some((OutputKind::Logits, "Conv")),
            ),
            (
                "three-outputs.xml",
                "logits",
                Some((OutputKind::Logits, "Convolution")),
            ),
            ("three-outputs.onnx", "feature_vector", None),
            (
                "label-and-probabilities.onnx",
                "probabilities",
                Some((OutputKind::Probabilities, "Softmax")),
            ),
            (
                "label-and-probabilities.onnx",
                "label",
                Some((OutputKind::ClassIds, "ArgMax")),
            ),
        ] {
            let overrides = PreprocessOverrides::default();
            let found = ResolvedPreprocessing::find(format!("{data}{file}"), &overrides).unwrap();
            assert_eq!(found.output, None, "an engine has to choose");
            let mut info = info(&[1, 3, 8, 8], &[1, 12]);
            info.output.name = output.to_owned();
            let fitted = found.fit(&info).unwrap();
            let stated = fitted
                .resolved
                .output
                .map(|stated| (stated.value, stated.origin.to_string()));
            let expected = expected
                .map(|(kind, operator)| (kind, format!("the model's last operator, {operator}")));
            assert_eq!(stated, expected, "{file} {output}");
        }
    }

    fn of_file(file: &str, scores: ScoreKind, info: &BackendInfo) -> Result<Vec<String>, String> {
        let path = format!("{}/../tests/data/{file}", env!("CARGO_MANIFEST_DIR"));
        let overrides = PreprocessOverrides {
            scores,
            ..PreprocessOverrides::default()
        };
        let found = ResolvedPreprocessing::find(path, &overrides).unwrap();
        let text = |error: ResolveError| {
            let source = std::error::Error::source(&error).unwrap();
            format!("{source}; {}", error.hint())
        };
        let fitted = found.fit(info).map_err(text)?;
        Ok(texts(&fitted.notes)
            .into_iter()
            .map(str::to_owned)
            .collect())
    }

    #[test]
    fn two_joined_heads_are_no_single_classifier() {
        let info = info(&[1, 3, 8, 8], &[1, 24]);
        let error = of_file("two-heads.onnx", ScoreKind::Auto, &info).unwrap_err();
        assert_eq!(
            error,
            "the model's output is not a single classifier: its operator Concat joins 2 values (probabilities, \
             probabilities), which cannot be ranked together; cut the model after one of the heads, or give an output \
             that holds a single one as `output`; `scores = raw` gives the values as they are"
        );
        assert!(of_file("two-heads.onnx", ScoreKind::Raw, &info).is_ok());
    }

    #[test]
    fn assumed_features_next_to_class_ids_are_rejected() {
        let spec = |name: &str, element, dims: &[usize]| {
            let dims = dims.iter().copied().map(Dim::Fixed).collect();
            (name.to_owned(), Ok(TensorSpec::new(name, element, dims)))
        };
        let declared = || {
            vec![
                spec("495", ElementType::F32, &[1, 3, 1, 1]),
                spec("496", ElementType::I64, &[1]),
            ]
        };
        let opened = |output: Option<&str>| {
            let mut options = backend_api::OpenOptions::new("model.onnx");
            options.output = output.map(str::to_owned);
            let chosen = backend_api::choose_outputs(declared(), &options).unwrap();
            let input = info(&[1, 3, 8, 8], &[1]).input;
            of_file(
                "features-and-class.onnx",
                ScoreKind::Auto,
                &chosen.into_info("mock", input),
            )
        };
        let error = opened(None).unwrap_err();
        assert_eq!(
            error,
            "the class ids in the model's output \"496\" are not computed from its output \"495\", which holds features or \
             scores of another head; the outputs are 495 f32[1, 3, 1, 1], 496 i64[1]; give the output that holds the \
             scores or the class ids as `output`"
        );
        assert!(opened(Some("495")).is_ok(), "as the caller says");
        assert!(opened(Some("496")).is_ok());
    }
}
