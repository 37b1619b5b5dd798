//! A line of `classify --stream`: a path, or a JSON object with the image in it.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use data_encoding::BASE64;
use image_classification::{Image, ImageSource, Reservation};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::errors::{Hinted, UnusableInput};
use crate::inputs::path_from_bytes;
use crate::lines::{Line, MOST_LINE_BYTES};

/// The next step where a line is not an object of the right form.
const FORM: &str = "send a path, or {\"path\": TEXT}, {\"image\": BASE64} or {\"pixels\": BASE64, \"width\": N, \"height\": N}, \
    each with an optional \"id\"";
/// Characters of a value that an error quotes.
const MOST_QUOTED: usize = 40;

/// The identity of a line.
#[derive(Debug)]
pub struct StreamLine {
    /// Counted from 1.
    pub number: u64,
    pub id: Option<LineId>,
    /// The path of the image, if the line has one.
    pub path: Option<PathBuf>,
    /// Held until the line is answered.
    _memory: Reservation,
}

/// The client's name for a line. Numbers are integers, which are the same in every program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LineId {
    Negative(i64),
    Number(u64),
    Text(String),
}

/// Returns the identity of a line and its image. A bad line is an image that fails.
pub fn parse(line: Line<'_>) -> (StreamLine, ImageSource) {
    let mut named = StreamLine {
        number: line.number,
        id: None,
        path: None,
        _memory: line.memory,
    };
    let source = source(line.bytes, &mut named);
    let source = source.unwrap_or_else(|error| ImageSource::Failed(Box::new(UnusableInput(error))));
    (named, source)
}

fn source(bytes: Option<&[u8]>, line: &mut StreamLine) -> anyhow::Result<ImageSource> {
    let Some(bytes) = bytes else {
        let error = format!("the line has more than {MOST_LINE_BYTES} bytes");
        return Err(Hinted::new(error, "save the image, and send its path").into());
    };
    let bytes = match line.number {
        1 => bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes),
        _ => bytes,
    };
    if bytes.trim_ascii().is_empty() {
        return Err(Hinted::new("the line is empty", FORM).into());
    }
    if bytes.trim_ascii_start().starts_with(b"{") {
        return Ok(object(bytes, line)?);
    }
    let path = path_from_bytes(bytes)?;
    line.path = Some(path.clone());
    Ok(path.into())
}

/// Returns the image of a JSON object.
fn object(bytes: &[u8], line: &mut StreamLine) -> Result<ImageSource, Hinted> {
    let mut fields = Fields::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = fields.deserialize(&mut json).and_then(|()| json.end());
    // The id is known from here on, whatever else is wrong with the line.
    // A client that has no id for a line may say so by `null`.
    let id = fields
        .id
        .filter(|id| id.get() != "null")
        .map(id)
        .transpose();
    line.id = id.as_ref().ok().and_then(Clone::clone);
    read.map_err(|error| not_json(&error))?;
    id?;
    if let Some(key) = fields.repeated {
        return Err(bad(format!("the key `{key}` occurs twice")));
    }
    if let Some(key) = fields.unknown {
        let key = quoted(&key);
        return Err(bad(format!(
            "unknown key {key}; the keys are {}",
            Fields::KEYS.map(|key| format!("`{key}`")).join(", ")
        )));
    }
    match (fields.path, fields.image, fields.pixels) {
        (Some(path), None, None) => {
            fields.expect_no_size()?;
            let path = PathBuf::from(&*text("path", path)?);
            line.path = Some(path.clone());
            Ok(path.into())
        }
        (None, Some(image), None) => {
            fields.expect_no_size()?;
            Ok(base64("image", image)?.into())
        }
        (None, None, Some(pixels)) => {
            let side = |name, value: Option<&RawValue>| {
                let value =
                    value.ok_or_else(|| bad(format!("`pixels` is given without `{name}`")))?;
                side(name, value)
            };
            let (width, height) = (side("width", fields.width)?, side("height", fields.height)?);
            let pixels = base64("pixels", pixels)?;
            let given = pixels.len();
            let image = Image::from_rgb(width, height, pixels).ok_or_else(|| {
                let expected = u128::from(width) * u128::from(height) * 3;
                Hinted::new(
                    format!(
                        "`pixels` has {given} bytes, but {width} x {height} pixels have {expected}"
                    ),
                    "send red, green and blue of each pixel, a byte each, row by row from the top left",
                )
            })?;
            Ok(image.into())
        }
        (None, None, None) => Err(bad("the line has no `path`, `image` or `pixels`")),
        _ => Err(bad(
            "the line has more than one of `path`, `image` and `pixels`",
        )),
    }
}

fn bad(error: impl Into<String>) -> Hinted {
    Hinted::new(error, FORM)
}

fn not_json(error: &serde_json::Error) -> Hinted {
    let text = error.to_string();
    let reason = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(reason, _)| reason);
    Hinted::new(
        format!(
            "the line is not a JSON object: {reason}, at byte {}",
            error.column()
        ),
        FORM,
    )
}

/// Returns the first characters of a value, for an error.
fn quoted(value: &str) -> String {
    let mut characters = value.chars();
    let head: String = characters.by_ref().take(MOST_QUOTED).collect();
    let more = if characters.next().is_some() {
        "…"
    } else {
        ""
    };
    format!("`{head}{more}`")
}

fn id(value: &RawValue) -> Result<LineId, Hinted> {
    serde_json::from_str(value.get()).map_err(|_| {
        let error = format!(
            "`id` is {}, expected text or an integer",
            quoted(value.get())
        );
        Hinted::new(error, "write other ids as text")
    })
}

fn side(name: &str, value: &RawValue) -> Result<u32, Hinted> {
    let side: Option<u32> = serde_json::from_str(value.get()).ok();
    side.filter(|side| *side > 0).ok_or_else(|| {
        let value = quoted(value.get());
        bad(format!("`{name}` is {value}, expected an integer from 1"))
    })
}

/// Returns a text without a copy, if it has no escapes.
fn text<'a>(name: &str, value: &'a RawValue) -> Result<Cow<'a, str>, Hinted> {
    if let Ok(text) = serde_json::from_str(value.get()) {
        return Ok(Cow::Borrowed(text));
    }
    let text: Result<String, _> = serde_json::from_str(value.get());
    text.map(Cow::Owned).map_err(|_| {
        let value = quoted(value.get());
        bad(format!("`{name}` is {value}, expected text"))
    })
}

fn base64(name: &str, value: &RawValue) -> Result<Vec<u8>, Hinted> {
    let text = text(name, value)?;
    BASE64.decode(text.as_bytes()).map_err(|error| {
        Hinted::new(
            format!("`{name}` is not base64: {error}"),
            "encode with the standard alphabet and padding, without line breaks and without a `data:` prefix",
        )
    })
}

/// The values of an object as they are written.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a RawValue>,
    path: Option<&'a RawValue>,
    image: Option<&'a RawValue>,
    pixels: Option<&'a RawValue>,
    width: Option<&'a RawValue>,
    height: Option<&'a RawValue>,
    /// The first key that is not known.
    unknown: Option<String>,
    /// A key that occurs twice.
    repeated: Option<&'static str>,
}

impl<'a> Fields<'a> {
    const KEYS: [&'static str; 6] = ["id", "path", "image", "pixels", "width", "height"];

    /// Returns the place of a value, and the name of its key.
    fn place(&mut self, key: &str) -> Option<(&'static str, &mut Option<&'a RawValue>)> {
        let key = *Self::KEYS.iter().find(|known| **known == key)?;
        let place = match key {
            "id" => &mut self.id,
            "path" => &mut self.path,
            "image" => &mut self.image,
            "pixels" => &mut self.pixels,
            "width" => &mut self.width,
            _ => &mut self.height,
        };
        Some((key, place))
    }

    /// Files have their own size.
    fn expect_no_size(&self) -> Result<(), Hinted> {
        match (self.width, self.height) {
            (None, None) => Ok(()),
            _ => Err(bad("`width` and `height` are given without `pixels`")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Fields<'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// Keeps what was read before an error. Of keys that are not known only the first one is kept: a line of 128 MiB may
/// have millions.
impl<'de> Visitor<'de> for &mut Fields<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if let Some((key, place)) = self.place(&key) {
                let value = map.next_value()?;
                if place.replace(value).is_some() {
                    self.repeated.get_or_insert(key);
                }
            } else {
                map.next_value::<IgnoredAny>()?;
                self.unknown.get_or_insert_with(|| key.into_owned());
            }
        }
        Ok(())
    }
}
