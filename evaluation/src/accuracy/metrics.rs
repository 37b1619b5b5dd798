//! Metrics by name: `docs/evaluate.md` has their formulas.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use image_classification::{Labels, Scoring};

use super::error::{GroundTruthError, ids_text};
use super::lookup::{ClassLookup, Numbers};
use super::multi_label::{Decisions, Quality};
use super::score::{Accuracy, Counts, SingleLabel};

/// The names of the metrics, for messages.
const KNOWN: &str = "top1, top5 (any K), mean-per-class, precision-micro, precision-macro, precision-weighted, \
    recall-micro, recall-macro, recall-weighted, f1-micro, f1-macro, f1-weighted, precision:CLASS, recall:CLASS, \
    f1:CLASS, mcc, ece, roc-auc (two classes), exact-match, map and ap:CLASS (multi-label)";
/// Names without a class and without K, for suggestions.
const PLAIN: [&str; 15] = [
    "top1",
    "mean-per-class",
    "precision-micro",
    "precision-macro",
    "precision-weighted",
    "recall-micro",
    "recall-macro",
    "recall-weighted",
    "f1-micro",
    "f1-macro",
    "f1-weighted",
    "mcc",
    "ece",
    "roc-auc",
    "map",
];
/// The largest K.
const MOST_RANKS: usize = 1024;

/// A metric. `Display` and `FromStr` use its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metric {
    /// The share of images with a right class among the best K: `top5`.
    Top(usize),
    /// The mean over classes of the share of right answers: `mean-per-class`.
    MeanPerClass,
    /// Precision, recall or F1: `f1-macro`, `recall:tabby`.
    Quality(QualityPart, Average),
    /// Matthews' correlation coefficient: `mcc`.
    Mcc,
    /// The expected calibration error: `ece`.
    CalibrationError,
    /// The area under the ROC curve of two classes: `roc-auc`.
    RocAuc,
    /// The share of images with exactly the right classes: `exact-match`.
    ExactMatch,
    /// The mean of the average precision over classes: `map`.
    MeanAveragePrecision,
    /// The average precision of a class: `ap:cat`.
    AveragePrecision(String),
}

/// One of the values of [`Quality`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QualityPart {
    /// The share of given classes that are right.
    Precision,
    /// The share of right classes that are given.
    Recall,
    /// The harmonic mean of both.
    F1,
}

/// The classes that a value describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Average {
    /// All decisions together.
    Micro,
    /// The mean over classes that an image shows or that the model gives.
    Macro,
    /// The mean over classes, by their numbers of images.
    Weighted,
    /// One class, by its id or its label.
    Class(String),
}

/// The reason why a metric has no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// The name is none of the metrics.
    #[error("{name:?} is not a metric; known are {KNOWN}{}", suggestion(*.nearest))]
    Unknown {
        /// The name.
        name: String,
        /// The most similar name.
        nearest: Option<&'static str>,
    },
    /// The metric is for another kind of model.
    #[error("the metric `{metric}` is for {models}")]
    OtherModel {
        /// The metric.
        metric: Metric,
        /// The models that have it.
        models: &'static str,
    },
    /// The model lacks the class, or it has several of this name.
    #[error("the metric `{metric}` names {}", class_text(.reason))]
    Class {
        /// The metric.
        metric: Metric,
        /// The reason.
        reason: Box<GroundTruthError>,
    },
    /// The images give the metric no value.
    #[error("{0}")]
    NoValue(&'static str),
}

/// Describes the class of a metric that was not found.
fn class_text(reason: &GroundTruthError) -> String {
    match reason {
        GroundTruthError::Ambiguous { ids, .. } => format!("several classes: {}", ids_text(ids)),
        GroundTruthError::NumberOrLabel {
            number,
            id,
            label_id,
            ..
        } => format!("{number}, which is the id of class {id}, but the label of class {label_id}"),
        GroundTruthError::OutOfRange {
            count: Some(count), ..
        } => format!(
            "a class that the model lacks: its classes are 0 to {}",
            count.saturating_sub(1)
        ),
        _ => "a class that the model lacks".to_owned(),
    }
}

impl MetricError {
    /// Returns the next step for the user.
    pub fn hint(&self) -> String {
        let class = match self {
            Self::Class { reason, metric } => Some((&**reason, metric.to_string())),
            _ => None,
        };
        match class {
            Some((GroundTruthError::Ambiguous { ids, .. }, metric)) => {
                let name = metric.split(':').next().unwrap_or_default();
                let id = ids.first().copied().unwrap_or_default();
                format!("write the class as an id, such as {name}:{id}")
            }
            Some((GroundTruthError::NumberOrLabel { number, .. }, metric)) => {
                let name = metric.split(':').next().unwrap_or_default();
                format!("write {name}:id:{number} or {name}:label:{number}")
            }
            Some((
                GroundTruthError::UnknownClass {
                    nearest: Some(name),
                    ..
                },
                _,
            )) => format!("did you mean {name:?}?"),
            _ => "leave the limit out, or choose another metric".to_owned(),
        }
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<i64>().is_ok()
}

impl FromStr for Metric {
    type Err = MetricError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || {
            let likeness = |name: &&'static str| (strsim::jaro_winkler(name, text), *name);
            let nearest = PLAIN
                .iter()
                .map(likeness)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            MetricError::Unknown {
                name: text.to_owned(),
                nearest: nearest
                    .filter(|(likeness, _)| *likeness > 0.8)
                    .map(|it| it.1),
            }
        };
        let (name, class) = match text.split_once(':') {
            Some((name, class)) if !class.trim().is_empty() => (name, Some(class.trim())),
            Some(_) => return Err(unknown()),
            None => (text, None),
        };
        let (part, average) = match (name.rsplit_once('-'), class) {
            (_, Some(class)) => (name, Some(Average::Class(class.to_owned()))),
            (Some((part, "micro")), None) => (part, Some(Average::Micro)),
            (Some((part, "macro")), None) => (part, Some(Average::Macro)),
            (Some((part, "weighted")), None) => (part, Some(Average::Weighted)),
            _ => (name, None),
        };
        let ranks = name.strip_prefix("top").map(str::parse);
        Ok(match (part, average) {
            ("precision", Some(average)) => Self::Quality(QualityPart::Precision, average),
            ("recall", Some(average)) => Self::Quality(QualityPart::Recall, average),
            ("f1", Some(average)) => Self::Quality(QualityPart::F1, average),
            ("ap", Some(Average::Class(class))) => Self::AveragePrecision(class),
            ("mean-per-class", None) => Self::MeanPerClass,
            ("mcc", None) => Self::Mcc,
            ("ece", None) => Self::CalibrationError,
            ("roc-auc", None) => Self::RocAuc,
            ("exact-match", None) => Self::ExactMatch,
            ("map", None) => Self::MeanAveragePrecision,
            (_, None) => match ranks {
                Some(Ok(k)) if (1..=MOST_RANKS).contains(&k) => Self::Top(k),
                _ => return Err(unknown()),
            },
            _ => return Err(unknown()),
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top(k) => write!(f, "top{k}"),
            Self::MeanPerClass => f.write_str("mean-per-class"),
            Self::Quality(part, average) => {
                f.write_str(match part {
                    QualityPart::Precision => "precision",
                    QualityPart::Recall => "recall",
                    QualityPart::F1 => "f1",
                })?;
                match average {
                    Average::Micro => f.write_str("-micro"),
                    Average::Macro => f.write_str("-macro"),
                    Average::Weighted => f.write_str("-weighted"),
                    Average::Class(class) => write!(f, ":{class}"),
                }
            }
            Self::Mcc => f.write_str("mcc"),
            Self::CalibrationError => f.write_str("ece"),
            Self::RocAuc => f.write_str("roc-auc"),
            Self::ExactMatch => f.write_str("exact-match"),
            Self::MeanAveragePrecision => f.write_str("map"),
            Self::AveragePrecision(class) => write!(f, "ap:{class}"),
        }
    }
}

impl Metric {
    /// Returns the number of best classes that the metric inspects.
    pub const fn ranks(&self) -> usize {
        match self {
            Self::Top(k) => *k,
            _ => 1,
        }
    }

    /// Checks that a model has the metric. `classes` is the number of its classes, if that is known.
    ///
    /// # Errors
    ///
    /// [`MetricError::OtherModel`] and [`MetricError::Class`].
    pub fn check(
        &self,
        scoring: Scoring,
        classes: Option<usize>,
        labels: Option<&Labels>,
    ) -> Result<(), MetricError> {
        let is_multi_label = scoring.is_multi_label();
        let other = |models| {
            Err(MetricError::OtherModel {
                metric: self.clone(),
                models,
            })
        };
        match self {
            Self::MeanPerClass | Self::Mcc if is_multi_label => {
                other("models whose classes exclude each other")
            }
            Self::CalibrationError if !scoring.is_distribution() => {
                other("models whose scores are probabilities of classes that exclude each other")
            }
            Self::RocAuc
                if is_multi_label
                    || scoring == Scoring::ClassIds
                    || classes.is_some_and(|classes| classes != 2) =>
            {
                other("models of two classes")
            }
            Self::ExactMatch | Self::MeanAveragePrecision | Self::AveragePrecision(_)
                if !is_multi_label =>
            {
                other("multi-label models")
            }
            Self::Quality(_, Average::Class(class)) | Self::AveragePrecision(class) => {
                self.class(class, classes, labels).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Returns the id of a class.
    fn class(
        &self,
        class: &str,
        classes: Option<usize>,
        labels: Option<&Labels>,
    ) -> Result<usize, MetricError> {
        let (class, numbers) = match class.split_once(':') {
            Some(("id", id)) if is_number(id) => (id, Numbers::Ids),
            Some(("label", label)) if is_number(label) => (label, Numbers::Labels),
            _ => (class, Numbers::Unknown),
        };
        let lookup = ClassLookup::new(labels, 0).numbers(numbers);
        let found = lookup.classes(&[class], classes);
        match found.as_deref() {
            Ok([id]) => Ok(*id),
            _ => Err(MetricError::Class {
                metric: self.clone(),
                reason: Box::new(found.err().unwrap_or(GroundTruthError::UnknownClass {
                    class: class.to_owned(),
                    has_labels: labels.is_some(),
                    nearest: None,
                    is_directory: false,
                })),
            }),
        }
    }

    /// Returns the value for the counts of a run.
    ///
    /// # Errors
    ///
    /// If the model or the images give it none.
    pub fn value(&self, accuracy: &Accuracy, labels: Option<&Labels>) -> Result<f64, MetricError> {
        const NO_IMAGES: MetricError = MetricError::NoValue("no image was judged");
        const FULL: MetricError = MetricError::NoValue("there are more than 32 Mi scores");
        if accuracy.images == 0 {
            return Err(NO_IMAGES);
        }
        let other = |models| MetricError::OtherModel {
            metric: self.clone(),
            models,
        };
        let of_ranking = |value: Option<f64>, reason| match value {
            _ if accuracy.ranking.is_full() => Err(FULL),
            Some(value) => Ok(value),
            None => Err(MetricError::NoValue(reason)),
        };
        let single = match &accuracy.counts {
            Counts::SingleLabel(counts) => Some(counts),
            Counts::MultiLabel(_) => None,
        };
        let exclude = "models whose classes exclude each other";
        match self {
            Self::Top(k) if accuracy.ranks(*k) => Ok(accuracy.top(*k).share),
            Self::Top(_) => Err(MetricError::NoValue("the answers have fewer ranks")),
            Self::MeanPerClass => Ok(single.ok_or_else(|| other(exclude))?.mean_per_class()),
            Self::Mcc => Ok(mcc(single.ok_or_else(|| other(exclude))?)),
            Self::CalibrationError => {
                let calibration = single.and_then(|counts| counts.calibration.as_ref());
                let error = calibration.map(|calibration| calibration.error());
                error.ok_or_else(|| other("models whose scores are probabilities"))
            }
            Self::Quality(part, average) => {
                let decisions = decisions(&accuracy.counts);
                let quality = match average {
                    Average::Micro => total(&decisions).quality(),
                    Average::Macro => mean(&decisions, |_| 1.0),
                    Average::Weighted => mean(&decisions, |of| of.images() as f64),
                    Average::Class(class) => {
                        let class = self.class(class, None, labels)?;
                        let found = decisions.iter().find(|(id, _)| *id == class);
                        let found = found.ok_or(MetricError::NoValue(
                            "no image shows the class, and no answer gives it",
                        ))?;
                        found.1.quality()
                    }
                };
                Ok(match part {
                    QualityPart::Precision => quality.precision,
                    QualityPart::Recall => quality.recall,
                    QualityPart::F1 => quality.f1,
                })
            }
            Self::RocAuc => of_ranking(
                accuracy.ranking.roc_auc().filter(|_| single.is_some()),
                "the images do not show both classes",
            ),
            Self::ExactMatch => match &accuracy.counts {
                Counts::MultiLabel(counts) => Ok(counts.exact_match().share),
                Counts::SingleLabel(_) => Err(other("multi-label models")),
            },
            Self::MeanAveragePrecision | Self::AveragePrecision(_) if single.is_some() => {
                Err(other("multi-label models"))
            }
            Self::MeanAveragePrecision => of_ranking(
                accuracy.ranking.mean_average_precision(),
                "no image shows a class",
            ),
            Self::AveragePrecision(class) => of_ranking(
                accuracy
                    .ranking
                    .average_precision(self.class(class, None, labels)?),
                "no image shows the class",
            ),
        }
    }
}

/// Returns the decisions about each class that an image shows or that the model gives.
fn decisions(counts: &Counts) -> Vec<(usize, Decisions)> {
    match counts {
        Counts::SingleLabel(counts) => counts.decisions().into_iter().collect(),
        Counts::MultiLabel(counts) => counts.classes.iter().map(|(id, of)| (*id, *of)).collect(),
    }
}

fn total(decisions: &[(usize, Decisions)]) -> Decisions {
    let mut total = Decisions::default();
    for (_, of) in decisions {
        total.true_positives += of.true_positives;
        total.false_positives += of.false_positives;
        total.false_negatives += of.false_negatives;
    }
    total
}

/// Returns the weighted mean over classes.
fn mean(decisions: &[(usize, Decisions)], weight: impl Fn(&Decisions) -> f64) -> Quality {
    let weights: f64 = decisions.iter().map(|(_, of)| weight(of)).sum();
    let mean = |value: fn(Quality) -> f64| {
        let values = decisions
            .iter()
            .map(|(_, of)| weight(of) * value(of.quality()));
        if weights > 0.0 {
            values.sum::<f64>() / weights
        } else {
            0.0
        }
    };
    Quality {
        precision: mean(|quality| quality.precision),
        recall: mean(|quality| quality.recall),
        f1: mean(|quality| quality.f1),
    }
}

/// Returns Matthews' correlation coefficient for any number of classes (Gorodkin 2004); 0 where it is not defined.
fn mcc(counts: &SingleLabel) -> f64 {
    let decisions = counts.decisions();
    let (mut right, mut images) = (0_i128, 0_i128);
    let (mut products, mut shown_squares, mut given_squares) = (0_i128, 0_i128, 0_i128);
    for of in decisions.values() {
        let shown = of.images() as i128;
        let given = (of.true_positives + of.false_positives) as i128;
        right += of.true_positives as i128;
        images += shown;
        products += shown * given;
        shown_squares += shown * shown;
        given_squares += given * given;
    }
    let square = images * images;
    let [shown, given] = [shown_squares, given_squares].map(|sum| ((square - sum) as f64).sqrt());
    if shown * given > 0.0 {
        (right * images - products) as f64 / (shown * given)
    } else {
        0.0
    }
}

/// Returns the values of all metrics that are not about one class, by their names.
pub fn all_metrics(accuracy: &Accuracy, top: impl Iterator<Item = usize>) -> BTreeMap<String, f64> {
    let plain = PLAIN.iter().chain(&["exact-match"]).skip(1);
    let plain = plain.filter_map(|name| name.parse().ok());
    let metrics = top.map(Metric::Top).chain(plain);
    let value = |metric: Metric| {
        let value = metric.value(accuracy, None).ok()?;
        Some((metric.to_string(), value))
    };
    metrics.filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in PLAIN.iter().chain(&[
            "top5",
            "exact-match",
            "f1:tabby, tabby cat",
            "precision:281",
            "ap:cat",
        ]) {
            let metric: Metric = name.parse().unwrap();
            assert_eq!(metric.to_string(), *name);
            assert!(KNOWN.contains(name.split(':').next().unwrap()), "{name}");
        }
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        for (name, nearest) in [
            ("f1-makro", Some("f1-macro")),
            ("top0", Some("top1")),
            ("f1", None),
            ("f1:", None),
            ("accuracy", None),
            ("map:3", None),
        ] {
            let error = name.parse::<Metric>().unwrap_err().to_string();
            assert!(error.contains("known are top1, top5"), "{error}");
            if let Some(nearest) = nearest {
                assert!(
                    error.ends_with(&format!("did you mean `{nearest}`?")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn models_have_their_metrics_only() {
        let check = |name: &str, scoring, classes| {
            name.parse::<Metric>()
                .unwrap()
                .check(scoring, classes, None)
                .is_ok()
        };
        assert!(check("mcc", Scoring::Raw, None) && !check("mcc", Scoring::Sigmoid, None));
        assert!(check("map", Scoring::Sigmoid, None) && !check("map", Scoring::Softmax, None));
        assert!(check("ece", Scoring::Softmax, None) && !check("ece", Scoring::Raw, None));
        assert!(check("roc-auc", Scoring::Softmax, Some(2)));
        assert!(!check("roc-auc", Scoring::Softmax, Some(3)));
        assert!(check("f1:2", Scoring::Softmax, Some(3)));
        assert!(!check("f1:3", Scoring::Softmax, Some(3)));
        assert!(!check("f1:cat", Scoring::Softmax, Some(3)));
    }
}
