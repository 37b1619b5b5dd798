//! OpenVINO's own properties, set by name.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use backend_api::{Error, ErrorKind};
use openvino::{Core, DeviceType, PropertyKey, RwPropertyKey};

use crate::error::engine_error;

/// A property of a device, as OpenVINO's documentation names it: `NUM_STREAMS=2`.
///
/// ```
/// use backend_openvino::Property;
///
/// let property: Property = "GPU:NUM_STREAMS=2".parse()?;
/// assert_eq!(property.device.as_deref(), Some("GPU"));
/// assert_eq!((property.key.as_str(), property.value.as_str()), ("NUM_STREAMS", "2"));
/// # Ok::<(), backend_api::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The device of the property. `None`: all devices of the device string that have the property.
    pub device: Option<String>,
    /// The key: `NUM_STREAMS`.
    pub key: String,
    /// The value, as OpenVINO reads it.
    pub value: String,
}

impl FromStr for Property {
    type Err = Error;

    /// Reads `KEY=VALUE` or `DEVICE:KEY=VALUE`. The value may be empty and hold anything.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("the property is {text:?}"),
            )
            .with_hint("write KEY=VALUE or DEVICE:KEY=VALUE, for instance NUM_STREAMS=2")
        };
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let (device, key) = match name.rsplit_once(':') {
            Some((device, key)) => (Some(device.trim().to_owned()), key.trim()),
            None => (None, name.trim()),
        };
        if key.is_empty() || device.as_deref() == Some("") || text.contains('\0') {
            return Err(wrong());
        }
        Ok(Self {
            device,
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(device) = &self.device {
            write!(f, "{device}:")?;
        }
        write!(f, "{}={}", self.key, self.value)
    }
}

/// Returns a device by its name, whatever it is.
pub(crate) fn device_type(name: &str) -> DeviceType<'_> {
    DeviceType::Other(Cow::Borrowed(name))
}

/// Returns the value of a property of `device` that is named only at run time.
pub(crate) fn get(core: &Core, device: &str, key: &'static str) -> Option<String> {
    core.get_property(
        &device_type(device),
        &PropertyKey::Other(Cow::Borrowed(key)),
    )
    .ok()
}

/// Returns the keys of the properties that `device` has. Loads its plugin.
pub(crate) fn keys(core: &Core, device: &str) -> Result<Vec<String>, openvino::InferenceError> {
    let keys = core.get_property(&device_type(device), &PropertyKey::SupportedProperties)?;
    Ok(keys.split_whitespace().map(str::to_owned).collect())
}

/// Properties that have a separate option, with their meaning and a hint.
const REFUSED: [(&str, &str, &str); 3] = [
    (
        "CACHE_DIR",
        "the cache of compiled models",
        "use `cache`, which checks its files",
    ),
    (
        "MULTI_DEVICE_PRIORITIES",
        "the list of devices",
        "write the devices in the device string: `device = AUTO:GPU,CPU`",
    ),
    (
        "DEVICE_ID",
        "the number of a device",
        "write it in the device string: `device = GPU.1`",
    ),
];

/// Sets the user's properties. `devices` are the virtual device, if there is one, and those that may
/// execute, each with its keys.
///
/// # Errors
///
/// [`ErrorKind::InvalidConfig`]: a device or a key that there is not, with the nearest one that there
/// is; a value that OpenVINO does not take.
pub(crate) fn set(
    core: &mut Core,
    devices: &[(String, Vec<String>)],
    properties: &[Property],
) -> Result<(), Error> {
    for property in properties {
        let refused = REFUSED
            .iter()
            .find(|(key, ..)| property.key.eq_ignore_ascii_case(key));
        if let Some((_, what, hint)) = refused {
            let message = format!("{what} cannot be set by a property");
            return Err(invalid(property, &message).with_hint(*hint));
        }
        let named: Vec<&(String, Vec<String>)> = devices
            .iter()
            .filter(|(name, _)| {
                let wanted = property.device.as_ref();
                wanted.is_none_or(|wanted| name.eq_ignore_ascii_case(wanted))
            })
            .collect();
        let names = |devices: &[&(String, Vec<String>)]| {
            let names: Vec<&str> = devices.iter().map(|(name, _)| name.as_str()).collect();
            names.join(", ")
        };
        if let (true, Some(wanted)) = (named.is_empty(), &property.device) {
            let all: Vec<_> = devices.iter().collect();
            return Err(
                invalid(property, &format!("{wanted} is not one of the devices in use"))
                    .with_context("devices", names(&all))
                    .with_hint("name a device from the device string, or no device to set the property on all of them"),
            );
        }
        let mut chosen = named
            .iter()
            .filter(|(_, keys)| keys.contains(&property.key))
            .peekable();
        if chosen.peek().is_none() {
            let known: Vec<&str> = named
                .iter()
                .flat_map(|(_, keys)| keys.iter().map(String::as_str))
                .collect();
            let error = invalid(
                property,
                &format!("there is no property {} on {}", property.key, names(&named)),
            );
            return Err(match nearest(&property.key, &known) {
                Some(key) => error.with_hint(format!("did you mean {key}?")),
                None => {
                    error.with_hint("`DeviceInfo::properties` lists the properties of each device")
                }
            });
        }
        for (name, _) in chosen {
            let key = RwPropertyKey::Other(Cow::Owned(property.key.clone()));
            core.set_property(&device_type(name), &key, &property.value)
                .map_err(|source| {
                    engine_error(
                        ErrorKind::InvalidConfig,
                        format!("device {name} does not accept {} = {}", property.key, property.value),
                        source,
                    )
                    .with_hint("see OpenVINO's documentation for the property's values; some properties are read-only")
                })?;
        }
    }
    Ok(())
}

fn invalid(property: &Property, message: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, message).with_context("property", property)
}

/// Returns the known key that is most like `key`, if one is like it at all.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let key = key.to_ascii_uppercase();
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&key, candidate), *candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.92)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_with_and_without_a_device() {
        let read = |text: &str| text.parse::<Property>();
        let property = read("GPU.1:A=b=c:d").unwrap();
        assert_eq!(
            (
                property.device.as_deref(),
                property.key.as_str(),
                property.value.as_str()
            ),
            (Some("GPU.1"), "A", "b=c:d")
        );
        assert_eq!(property.to_string(), "GPU.1:A=b=c:d");
        assert_eq!(read("A=").unwrap().value, "");
        for text in ["", "A", "=1", ":A=1", "CPU:=1", "A=\0"] {
            assert!(read(text).unwrap_err().hint().is_some(), "{text}");
        }
    }

    #[test]
    fn the_nearest_key_is_suggested() {
        let known = ["NUM_STREAMS", "PERF_COUNT", "INFERENCE_NUM_THREADS"];
        assert_eq!(nearest("NUM_STREAM", &known), Some("NUM_STREAMS"));
        assert_eq!(nearest("num_streams", &known), Some("NUM_STREAMS"));
        assert_eq!(nearest("XYZ", &known), None);
    }
}
