//! Outputs that seem to hold the best values, whose positions are ranks and not classes.
//!
//! The graph decides where it is read (`sources::graph`). It is not read for Paddle, for a server, and for a TensorFlow graph
//! in text form. It does not decide for an output of a TensorFlow graph that is not found by its name.

use backend_api::{BackendInfo, DeclaredOutput, Tensor, TensorSpec};

use super::{Note, ResolvedPreprocessing};
use crate::scores::real_values;
use crate::sources::SourceError;
use crate::{OutputKind, ScoreKind, WithOrigin};

/// Outputs of independent classes are in descending order once in more cases than these.
const CASES: f64 = 100.0;

impl ResolvedPreprocessing {
    /// Takes integers next to floats of the same shape for the ids of the best classes, if nothing states otherwise.
    ///
    /// # Errors
    ///
    /// [`SourceError::Ranked`] for the floats.
    pub(super) fn take_pair(&mut self, info: &BackendInfo) -> Result<(), SourceError> {
        if self.output.is_some() || self.scores != ScoreKind::Auto {
            return Ok(());
        }
        let chosen = &info.output;
        let Some(twin) = twin(info) else {
            return Ok(());
        };
        if chosen.element_type.is_wide_integer() {
            let origin = format!(
                "integers next to the output {}, of the same shape",
                named(twin)
            );
            self.output = Some(WithOrigin::new(OutputKind::ClassIds, origin));
            return Ok(());
        }
        let is_labelled = self.labels.as_ref().zip(info.class_count());
        let is_labelled = is_labelled
            .is_some_and(|(labels, classes)| labels.value.clone().fitted(classes).is_some());
        let has_several = self.multi_label.as_ref().is_some_and(|it| it.value);
        if is_labelled || has_several {
            return Ok(());
        }
        Err(SourceError::Ranked {
            values: named(chosen),
            ids: named(twin),
        })
    }
}

fn named(output: &TensorSpec) -> String {
    format!("{:?} {output}", output.name)
}

/// Returns the other output of a pair of floats and integers: the only one with the dimensions of the chosen one, and
/// of the other type.
fn twin(info: &BackendInfo) -> Option<&TensorSpec> {
    let chosen = &info.output;
    let is_pair = |other: &TensorSpec| {
        let (one, two) = (chosen.element_type, other.element_type);
        let is_other_type =
            one.is_float() && two.is_wide_integer() || one.is_wide_integer() && two.is_float();
        other.name != chosen.name && other.dims == chosen.dims && is_other_type
    };
    let mut twins = info.outputs.iter().filter_map(DeclaredOutput::spec);
    let mut twins = twins.by_ref().filter(|other| is_pair(other));
    twins.next().filter(|_| twins.next().is_none())
}

/// Returns a warning if all of the first outputs are in descending order and chance is an unlikely reason.
pub(super) fn note(resolved: &ResolvedPreprocessing, outputs: &[Tensor]) -> Option<Note> {
    if resolved.output.is_some() || resolved.scores != ScoreKind::Auto {
        return None;
    }
    let quantization = resolved.quantization.as_ref().map(|stated| stated.value);
    let mut cases = 1.0;
    for output in outputs {
        let values = real_values(output, quantization);
        if !values.is_sorted_by(|one, next| one >= next) || values.first() == values.last() {
            return None;
        }
        cases *= (1..=values.len()).map(|n| n as f64).product::<f64>();
    }
    let images = match outputs.len() {
        1 => "the first image".to_owned(),
        count => format!("the first {count} images"),
    };
    (cases > CASES).then(|| {
        Note::warning(format!(
            "the output for {images} is in descending order, as that of an operator such as TopK: a position would be a \
             rank and not identify a class; check the end of the model"
        ))
    })
}

#[cfg(test)]
mod tests {
    use backend_api::{Dim, ElementType};

    use super::super::tests::bare_model;
    use super::super::{PreprocessOverrides, Severity};
    use super::*;

    fn spec(name: &str, element_type: ElementType, classes: usize) -> TensorSpec {
        TensorSpec::new(name, element_type, vec![Dim::Fixed(1), Dim::Fixed(classes)])
    }

    fn info(output: TensorSpec, others: &[TensorSpec]) -> BackendInfo {
        let dims = [1, 3, 8, 8].map(Dim::Fixed).to_vec();
        let mut info =
            BackendInfo::new("mock", TensorSpec::new("x", ElementType::F32, dims), output);
        info.outputs
            .extend(others.iter().cloned().map(DeclaredOutput::Usable));
        info
    }

    #[test]
    fn floats_next_to_integers_of_the_same_shape_are_rejected() {
        let (_directory, model) = bare_model(None);
        let of = |overrides: &PreprocessOverrides, info: &BackendInfo| {
            let resolved = ResolvedPreprocessing::find(&model, overrides).unwrap();
            resolved.fit(info)
        };
        let floats = || spec("best", ElementType::F32, 5);
        let pair = info(floats(), &[spec("ids", ElementType::I64, 5)]);
        let error = of(&PreprocessOverrides::default(), &pair).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            source.contains(r#""best" f32[1, 5] and "ids" i64[1, 5]"#),
            "{source}"
        );
        let stated = PreprocessOverrides {
            scores: ScoreKind::Softmax,
            ..PreprocessOverrides::default()
        };
        assert!(of(&stated, &pair).is_ok());
        let labelled = PreprocessOverrides {
            labels: Some(WithOrigin::new(
                crate::Labels::parse(b"a\nb\nc\nd\ne\n").unwrap(),
                "test",
            )),
            ..PreprocessOverrides::default()
        };
        assert!(of(&labelled, &pair).is_ok(), "each position has a name");
        for others in [
            vec![spec("ids", ElementType::I64, 1)],
            vec![spec("bytes", ElementType::U8, 5)],
            vec![spec("features", ElementType::F32, 5)],
            vec![
                spec("a", ElementType::I32, 5),
                spec("b", ElementType::I32, 5),
            ],
        ] {
            let several = info(floats(), &others);
            assert!(
                of(&PreprocessOverrides::default(), &several).is_ok(),
                "{others:?}"
            );
        }
        let ids = info(spec("ids", ElementType::I64, 5), &[floats()]);
        let fitted = of(&PreprocessOverrides::default(), &ids).unwrap();
        let kind = fitted.resolved.output.map(|output| output.value);
        assert_eq!(kind, Some(OutputKind::ClassIds));
    }

    #[test]
    fn outputs_in_descending_order_are_a_warning_if_that_is_no_chance() {
        let (_directory, model) = bare_model(None);
        let warns = |outputs: &[&[f32]]| {
            let resolved = ResolvedPreprocessing::find(&model, &PreprocessOverrides::default());
            let tensors = outputs
                .iter()
                .map(|values| Tensor::new([1, values.len()], values.to_vec()).unwrap());
            let tensors: Vec<Tensor> = tensors.collect();
            note(&resolved.unwrap(), &tensors).is_some()
        };
        assert!(warns(&[&[5.0, 4.0, 3.0, 2.0, 1.0]]));
        assert!(warns(&[
            &[5.0, 4.0, 4.0],
            &[2.0, 1.0, 0.0],
            &[9.0, 1.0, 0.0]
        ]));
        assert!(!warns(&[&[5.0, 4.0, 3.0]]), "one in six");
        assert!(!warns(&[
            &[5.0, 4.0, 3.0, 2.0, 1.0],
            &[1.0, 2.0, 3.0, 2.0, 1.0]
        ]));
        assert!(!warns(&[&[1.0; 8]]), "equal values");
        assert!(!warns(&[]));
    }

    #[test]
    fn several_wide_integers_of_unknown_meaning_are_a_warning() {
        let (_directory, model) = bare_model(None);
        let words = "ids of the best classes";
        let warns = |output: TensorSpec, overrides: &PreprocessOverrides| {
            let resolved = ResolvedPreprocessing::find(&model, overrides).unwrap();
            let fitted = resolved.fit(&info(output, &[])).unwrap();
            let mut notes = fitted.notes.iter();
            notes.any(|note| note.severity == Severity::Warning && note.text.contains(words))
        };
        let unstated = PreprocessOverrides::default();
        assert!(warns(spec("ids", ElementType::I32, 5), &unstated));
        assert!(warns(spec("ids", ElementType::U64, 5), &unstated));
        assert!(!warns(spec("scores", ElementType::U8, 5), &unstated));
        let raw = PreprocessOverrides {
            scores: ScoreKind::Raw,
            ..PreprocessOverrides::default()
        };
        assert!(!warns(spec("ids", ElementType::I32, 5), &raw));
    }
}
