//! Values of a model's preprocessing, each with its origin.

use std::fmt;

/// The origin of a value. A wrong mean or channel order does not show on one image and costs ten points of accuracy
/// on many, so every value can be traced.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingOrigin {
    /// A field of [`PreprocessOverrides`](crate::PreprocessOverrides), by its name.
    Override(&'static str),
    /// A part of the model, of a file, or the first images: `preprocessor_config.json: image_mean / rescale_factor`.
    Source(String),
    /// The convention of OpenVINO's samples, because no source states the value.
    Convention,
    /// No source, and no convention either.
    Undecided,
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Override(field) => write!(f, "`{field}`"),
            Self::Source(text) => f.write_str(text),
            Self::Convention => f.write_str("convention of OpenVINO's samples"),
            Self::Undecided => f.write_str("nothing"),
        }
    }
}

impl From<String> for SettingOrigin {
    fn from(source: String) -> Self {
        Self::Source(source)
    }
}

impl From<&str> for SettingOrigin {
    fn from(source: &str) -> Self {
        Self::Source(source.to_owned())
    }
}

/// A value and its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct WithOrigin<T> {
    /// The value.
    pub value: T,
    /// The source that states it.
    pub origin: SettingOrigin,
    /// A decision behind the value that the user should know if it is used. Names of settings are in backticks.
    pub(crate) note: Option<String>,
}

impl<T> WithOrigin<T> {
    /// Attaches `origin` to `value`.
    pub fn new(value: T, origin: impl Into<SettingOrigin>) -> Self {
        Self {
            value,
            origin: origin.into(),
            note: None,
        }
    }

    /// Sets the note that the user gets if the value is used.
    pub(crate) fn with_note(self, note: Option<String>) -> Self {
        Self { note, ..self }
    }
}

/// One value of the preprocessing as text, with its origin and the values that other sources state instead.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The name of the value, which is a field of [`PreprocessOverrides`](crate::PreprocessOverrides): `mean`.
    pub key: &'static str,
    /// The value that is used.
    pub value: String,
    /// Its source.
    pub origin: SettingOrigin,
    /// Different values with their sources.
    pub others: Vec<(String, SettingOrigin)>,
    /// The [note](WithOrigin::note) on the value that is used.
    pub(crate) note: Option<String>,
}

/// `mean = 123.675,116.28,103.53 (config.json: mean)`.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.key, self.value, self.origin)
    }
}

/// Returns the first value that a source states.
pub(crate) fn first<'a, T: Clone + 'a>(
    mut stated: impl Iterator<Item = &'a Option<WithOrigin<T>>>,
) -> Option<WithOrigin<T>> {
    stated.find_map(Clone::clone)
}

/// Returns the first value that a source states, or the convention's, and describes it as a setting.
pub(crate) fn choose<'a, T: Copy + PartialEq + 'a>(
    key: &'static str,
    stated: impl Iterator<Item = &'a Option<WithOrigin<T>>>,
    convention: T,
    text: impl Fn(&T) -> String,
) -> (T, Setting) {
    let mut stated = stated.flatten();
    let convention = WithOrigin::new(convention, SettingOrigin::Convention);
    let WithOrigin {
        value,
        origin,
        note,
    } = stated.next().cloned().unwrap_or(convention);
    let others = stated
        .filter(|other| other.value != value)
        .map(|other| (text(&other.value), other.origin.clone()))
        .collect();
    let setting = Setting {
        key,
        value: text(&value),
        origin,
        others,
        note,
    };
    (value, setting)
}

/// Formats three numbers, separated by commas.
pub(crate) fn three(values: &[f32; 3]) -> String {
    values.map(|value| value.to_string()).join(",")
}

/// Returns the numbers of an input of `channels` channels: all of them, or the first one for a single channel.
pub(crate) fn numbers(values: &[f32; 3], channels: usize) -> String {
    match channels {
        1 => values[0].to_string(),
        _ => three(values),
    }
}
