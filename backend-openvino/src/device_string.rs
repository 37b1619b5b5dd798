//! Device strings, OpenVINO's names for devices and combinations of devices.

use std::fmt;
use std::str::FromStr;

use backend_api::{Error, ErrorKind};

/// Kinds of hardware that OpenVINO has or had a plugin for. Their names are read in any case; a name
/// that is not among them belongs to a plugin of the user and stays as it is.
const HARDWARE: [&str; 8] = [
    "CPU", "GPU", "NPU", "MYRIAD", "HDDL", "GNA", "FPGA", "TEMPLATE",
];

/// OpenVINO silently drops batching for numbers above its limit.
const MOST_BATCH: u32 = 65_535;

/// A device string, checked: `CPU`, `GPU.1`, `HETERO:GPU,CPU`, `AUTO:-CPU`, `BATCH:GPU(16)`.
///
/// [`FromStr`] reads one, in any case; [`Display`](fmt::Display) writes it as OpenVINO takes it.
/// Whether the devices exist is not checked here: only OpenVINO knows.
///
/// ```
/// use backend_openvino::Device;
///
/// let device: Device = "hetero:gpu.1,cpu".parse()?;
/// assert_eq!(device.to_string(), "HETERO:GPU.1,CPU");
/// assert_eq!("MyPlugin".parse::<Device>()?, Device::Single("MyPlugin".to_owned()));
///
/// let error = "HETERO".parse::<Device>().unwrap_err();
/// assert!(error.hint().unwrap().contains("HETERO:GPU,CPU"));
/// # Ok::<(), backend_api::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Device {
    /// One device, with its number or architecture after a point: `GPU`, `GPU.1`. Also any name of a
    /// plugin that is not known here.
    Single(String),
    /// A device that hands the work to others.
    Virtual {
        /// The way to choose among them.
        kind: VirtualDevice,
        /// The others, in the order in which they were named. Empty: [`VirtualDevice::Auto`] chooses
        /// among all that are available.
        candidates: Vec<Candidate>,
    },
}

/// OpenVINO's virtual devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VirtualDevice {
    /// `AUTO` takes the best one for the model.
    Auto,
    /// `MULTI` uses all of them, each for other requests.
    Multi,
    /// `HETERO` divides the model's operations among them.
    Hetero,
    /// `BATCH` puts requests together into batches for one device.
    Batch,
}

impl VirtualDevice {
    const ALL: [Self; 4] = [Self::Auto, Self::Multi, Self::Hetero, Self::Batch];

    /// Returns the name in a device string: `AUTO`, `MULTI`, `HETERO`, `BATCH`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "AUTO",
            Self::Multi => "MULTI",
            Self::Hetero => "HETERO",
            Self::Batch => "BATCH",
        }
    }

    /// Returns a string with it that works on most machines.
    const fn example(self) -> &'static str {
        match self {
            Self::Auto => "AUTO:GPU,CPU",
            Self::Multi => "MULTI:GPU,CPU",
            Self::Hetero => "HETERO:GPU,CPU",
            Self::Batch => "BATCH:GPU(16)",
        }
    }
}

/// One of the devices behind a virtual one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The device's name: `GPU.1`.
    pub name: String,
    /// `-CPU`: any but this one.
    pub excluded: bool,
    /// `GPU(16)`: the size of the batch for `BATCH`. At least 1, at most 65,535.
    pub number: Option<u32>,
}

impl Device {
    /// Returns the devices that may execute. `available` are those that there are.
    pub fn leaves(&self, available: &[String]) -> Vec<String> {
        let candidates = match self {
            Self::Single(name) => return vec![name.clone()],
            Self::Virtual { candidates, .. } => candidates,
        };
        let named: Vec<String> = candidates
            .iter()
            .filter(|candidate| !candidate.excluded)
            .map(|candidate| candidate.name.clone())
            .collect();
        if !named.is_empty() {
            return named;
        }
        let excluded = |device: &String| {
            candidates
                .iter()
                .any(|candidate| same_device(&candidate.name, device))
        };
        available
            .iter()
            .filter(|device| !excluded(device))
            .cloned()
            .collect()
    }

    /// Returns the names that are left out but are neither hardware nor among `available`: `AUTO:-CUP`.
    pub(crate) fn unknown_exclusions(&self, available: &[String]) -> Vec<&str> {
        let Self::Virtual { candidates, .. } = self else {
            return Vec::new();
        };
        let excluded = candidates.iter().filter(|candidate| candidate.excluded);
        excluded
            .map(|candidate| candidate.name.as_str())
            .filter(|name| !is_hardware(name) && !available.iter().any(|known| known == name))
            .collect()
    }

    /// Returns the virtual device, if it is one.
    pub fn virtual_device(&self) -> Option<VirtualDevice> {
        match self {
            Self::Single(_) => None,
            Self::Virtual { kind, .. } => Some(*kind),
        }
    }
}

/// Returns whether two names are one device. `GPU` and `GPU.0` are.
pub(crate) fn same_device(a: &str, b: &str) -> bool {
    let first = |name: &'_ str| name.strip_suffix(".0").unwrap_or(name).to_owned();
    first(a) == first(b)
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(name) => f.write_str(name),
            Self::Virtual { kind, candidates } => {
                f.write_str(kind.as_str())?;
                for (n, candidate) in candidates.iter().enumerate() {
                    f.write_str(if n == 0 { ":" } else { "," })?;
                    candidate.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minus = if self.excluded { "-" } else { "" };
        write!(f, "{minus}{}", self.name)?;
        self.number.map_or(Ok(()), |number| write!(f, "({number})"))
    }
}

impl FromStr for Device {
    type Err = Error;

    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`], with the fault and an example.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() || text.contains(char::is_control) {
            return Err(wrong(text, "it must be a name such as CPU or GPU.1"));
        }
        let (first, list) = match text.split_once(':') {
            Some((first, list)) => (first.trim(), Some(list)),
            None => (text, None),
        };
        let kind = VirtualDevice::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(first));
        match (kind, list) {
            (None, None) if text.contains(',') => Err(wrong(
                text,
                "a list of devices needs a prefix that says how they share the work",
            )
            .with_hint(format!(
                "write `MULTI:{text}`, `HETERO:{text}` or `AUTO:{text}`"
            ))),
            (None, None) => checked(text, text).map(Self::Single),
            (None, Some(_)) if is_hardware(first) => Err(wrong(
                text,
                &format!("{first} is a single device and takes no list"),
            )
            .with_hint("list devices after AUTO, MULTI, HETERO or BATCH: `HETERO:GPU,CPU`")),
            // A plugin that is not known here may have another grammar.
            (None, Some(_)) => Ok(Self::Single(text.to_owned())),
            (Some(kind), list) => {
                let candidates = list
                    .map(|list| candidates(text, kind, list))
                    .transpose()?
                    .unwrap_or_default();
                Ok(Self::Virtual {
                    kind,
                    candidates: complete(text, kind, candidates)?,
                })
            }
        }
    }
}

/// `list` is the text after the colon.
fn candidates(text: &str, kind: VirtualDevice, list: &str) -> Result<Vec<Candidate>, Error> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for item in list.split(',') {
        let candidate = candidate(text, kind, item.trim())?;
        if candidates
            .iter()
            .any(|earlier| same_device(&earlier.name, &candidate.name))
        {
            let twice = format!("{} is named twice", candidate.name);
            return Err(wrong(text, &twice).with_hint("name each device once"));
        }
        candidates.push(candidate);
    }
    Ok(candidates)
}

fn candidate(text: &str, kind: VirtualDevice, item: &str) -> Result<Candidate, Error> {
    let example = || format!("write for instance `device = {}`", kind.example());
    let bad = |what: &str| wrong(text, what).with_hint(example());
    let (item, excluded) = match item.strip_prefix('-') {
        Some(rest) => (rest.trim(), true),
        None => (item, false),
    };
    if excluded && !matches!(kind, VirtualDevice::Auto | VirtualDevice::Multi) {
        return Err(bad("only AUTO and MULTI can exclude a device"));
    }
    let (base, number) = match item.split_once('(') {
        None => (item, None),
        Some((base, rest)) => {
            if kind == VirtualDevice::Multi {
                // 2026.4 reads the number and makes two requests whatever it is.
                return Err(wrong(
                    text,
                    "OpenVINO ignores a device's number of requests in MULTI",
                )
                .with_hint("remove the parentheses and set `requests = N`"));
            }
            if kind != VirtualDevice::Batch {
                return Err(bad("only BATCH takes a number in parentheses"));
            }
            let number = rest
                .strip_suffix(')')
                .and_then(|number| number.trim().parse().ok())
                .filter(|number: &u32| (1..=MOST_BATCH).contains(number))
                .ok_or_else(|| bad("the parentheses must hold a whole number from 1 to 65535"))?;
            (base.trim(), Some(number))
        }
    };
    if base.is_empty() {
        return Err(bad("a device in the list has no name"));
    }
    let first = base.split([':', '.']).next().unwrap_or(base);
    let nested = VirtualDevice::ALL
        .iter()
        .any(|kind| kind.as_str().eq_ignore_ascii_case(first));
    if nested || base.contains(':') {
        return Err(bad(
            "a virtual device cannot contain another virtual device",
        ));
    }
    Ok(Candidate {
        name: checked(text, base)?,
        excluded,
        number,
    })
}

/// Checks the number of devices that each kind needs.
fn complete(
    text: &str,
    kind: VirtualDevice,
    candidates: Vec<Candidate>,
) -> Result<Vec<Candidate>, Error> {
    let needed = match kind {
        VirtualDevice::Hetero if candidates.is_empty() => {
            "HETERO needs a list of devices that share the model"
        }
        VirtualDevice::Multi if candidates.is_empty() => "MULTI needs a list of devices",
        VirtualDevice::Batch if candidates.len() != 1 => "BATCH needs one device",
        _ => return Ok(candidates),
    };
    Err(wrong(text, needed).with_hint(format!("write for instance `device = {}`", kind.example())))
}

fn is_hardware(name: &str) -> bool {
    let family = name.split('.').next().unwrap_or(name);
    HARDWARE
        .iter()
        .any(|known| known.eq_ignore_ascii_case(family))
}

/// Returns one device's name as OpenVINO writes it. `text` is the whole device string.
fn checked(text: &str, device: &str) -> Result<String, Error> {
    let name = name(device);
    match name.split_once('.') {
        Some((_, "")) => Err(wrong(text, "nothing follows the dot")
            .with_hint("write a number, as in `GPU.1`, or remove the dot")),
        Some(("CPU", _)) => Err(wrong(text, "the CPU has no numbers").with_hint("write `CPU`")),
        _ => Ok(name),
    }
}

/// Returns the name as OpenVINO has it.
fn name(text: &str) -> String {
    match text.split_once('.') {
        _ if !is_hardware(text) => text.to_owned(),
        // The text after the dot may be an architecture, which is case-sensitive.
        Some((family, rest)) => format!("{}.{rest}", family.to_ascii_uppercase()),
        None => text.to_ascii_uppercase(),
    }
}

fn wrong(text: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        format!("the device is {text:?}: {what}"),
    )
    .with_hint("`devices()` lists the available devices")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(text: &str) -> Device {
        text.parse().unwrap()
    }

    #[test]
    fn strings_are_read_in_any_case_and_written_as_openvino_takes_them() {
        for (text, written) in [
            ("cpu", "CPU"),
            (" gpu.1 ", "GPU.1"),
            ("Myriad.1.2-ma2480", "MYRIAD.1.2-ma2480"),
            ("auto", "AUTO"),
            ("multi:gpu, cpu", "MULTI:GPU,CPU"),
            ("hetero:gpu.1,cpu", "HETERO:GPU.1,CPU"),
            ("batch:gpu(16)", "BATCH:GPU(16)"),
            ("AUTO:-cpu", "AUTO:-CPU"),
            ("MyPlugin", "MyPlugin"),
            ("MyPlugin:a,b", "MyPlugin:a,b"),
            ("CPU_A", "CPU_A"),
        ] {
            assert_eq!(device(text).to_string(), written, "{text}");
            assert_eq!(device(written).to_string(), written);
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_hint() {
        for (text, says) in [
            ("", "a name such as"),
            ("CPU\0", "a name such as"),
            ("HETERO", "share the model"),
            ("hetero:", "no name"),
            ("HETERO:GPU,,CPU", "no name"),
            ("HETERO:CPU,CPU", "twice"),
            ("AUTO:GPU,GPU.0", "twice"),
            ("BATCH", "one device"),
            ("BATCH:GPU,CPU", "one device"),
            ("BATCH:GPU(0)", "from 1 to"),
            ("BATCH:GPU(16", "from 1 to"),
            ("BATCH:CPU(200000)", "from 1 to"),
            ("MULTI", "needs a list of devices"),
            ("MULTI:GPU(4),CPU", "ignores a device's number"),
            ("CPU.0", "no numbers"),
            ("HETERO:CPU.1,GPU", "no numbers"),
            ("GPU.", "follows the dot"),
            ("HETERO:-GPU,CPU", "exclude a device"),
            ("AUTO:GPU(4)", "parentheses"),
            ("HETERO:MULTI,CPU", "virtual device"),
            ("MULTI:HETERO:GPU,CPU", "virtual device"),
            ("CPU:GPU", "takes no list"),
            ("CPU,GPU", "share the work"),
        ] {
            let error = text.parse::<Device>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{text}");
            assert!(error.to_string().contains(says), "{text}: {error}");
            assert!(error.hint().is_some(), "{text}");
        }
    }

    #[test]
    fn strings_lead_to_the_devices_that_execute() {
        let available = ["CPU".to_owned(), "GPU".to_owned()];
        for (text, leaves) in [
            ("CPU", vec!["CPU"]),
            ("GPU.1", vec!["GPU.1"]),
            ("HETERO:GPU.1,CPU", vec!["GPU.1", "CPU"]),
            ("BATCH:GPU(16)", vec!["GPU"]),
            ("AUTO:-CPU,GPU", vec!["GPU"]),
            ("AUTO:-GPU", vec!["CPU"]),
            ("AUTO:-GPU.0", vec!["CPU"]),
            ("AUTO", vec!["CPU", "GPU"]),
            ("MYRIAD", vec!["MYRIAD"]),
        ] {
            assert_eq!(device(text).leaves(&available), leaves, "{text}");
        }
    }

    #[test]
    fn the_first_device_has_two_names() {
        assert!(same_device("GPU", "GPU.0") && same_device("GPU.0", "GPU"));
        assert!(!same_device("GPU", "GPU.1") && !same_device("GPU.10", "GPU.1"));
    }
}
