//! The units of the mean and the scale.

use super::{Note, ResolvedPreprocessing};
use crate::SettingOrigin;
use crate::setting::three;

impl ResolvedPreprocessing {
    /// Warns of a mean or scale in other units, as PyTorch writes them: the answer would be wrong and confident.
    pub(super) fn unit_warning(&self) -> Option<Note> {
        let is_small = |values: [f32; 3]| {
            values.iter().all(|value| (0.0..1.0).contains(value)) && values != [0.0; 3]
        };
        let (mean, scale) = (self.preprocess.mean, self.preprocess.scale);
        // 1 / 255 and the like: a factor, not a divisor.
        let is_factor = scale.iter().all(|value| *value < 0.05);
        let advice = match (is_small(mean), is_small(scale)) {
            (false, false) => return None,
            (_, true) if is_factor => {
                let divisors = scale.map(|value| (1.0 / f64::from(value)).round() as f32);
                format!(
                    "`scale` looks like a factor, but pixels are divided by it: give {}",
                    three(&divisors)
                )
            }
            (true, false) if scale != [1.0; 3] => {
                let mean = mean.map(|value| value * 255.0);
                format!(
                    "`mean` looks like units of 0 to 1, `scale` like units of 0 to 255: give {} as `mean`",
                    three(&mean)
                )
            }
            (false, true) if mean.iter().any(|mean| *mean > 1.0) => {
                let scale = scale.map(|value| value * 255.0);
                format!(
                    "`scale` looks like units of 0 to 1, `mean` like units of 0 to 255: give {} as `scale`",
                    three(&scale)
                )
            }
            _ => "these values look like units of 0 to 1: multiply both by 255".to_owned(),
        };
        let sources = self.settings.iter().filter_map(|setting| {
            let is_small = match setting.key {
                "mean" => is_small(mean),
                "scale" => is_small(scale),
                _ => false,
            };
            let is_source = matches!(setting.origin, SettingOrigin::Source(_));
            (is_small && is_source).then(|| setting.origin.to_string())
        });
        let sources: Vec<String> = sources.collect();
        let by = if sources.is_empty() {
            String::new()
        } else {
            format!(" (stated by {})", sources.join(", "))
        };
        Some(Note::warning(format!(
            "`mean` and `scale` are in units of 0-255: (pixel - mean) / scale; {advice}{by}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PreprocessOverrides, Severity};
    use super::*;
    use crate::WithOrigin;
    use crate::sources::SourceSettings;

    #[test]
    fn a_wrong_unit_is_a_warning_whatever_its_source_is() {
        let warning = |mean, scale, given: Option<[f32; 3]>| {
            let file = SourceSettings {
                mean: Some(WithOrigin::new(mean, "p.json: mean")),
                scale: Some(WithOrigin::new(scale, "p.json: scale")),
                ..SourceSettings::default()
            };
            let overrides = PreprocessOverrides {
                scale: given,
                ..PreprocessOverrides::default()
            };
            let resolved = ResolvedPreprocessing::combine(&overrides, &[], &[file]).unwrap();
            resolved.unit_warning().map(|note| {
                assert_eq!(note.severity, Severity::Warning);
                note.text.split("scale; ").nth(1).unwrap().to_owned()
            })
        };
        let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        for (mean, scale, given, expected) in [
            (
                mean,
                std,
                None,
                "these values look like units of 0 to 1: multiply both by 255 (stated by p.json: mean, p.json: scale)",
            ),
            (
                mean,
                [255.0; 3],
                Some(std),
                "these values look like units of 0 to 1: multiply both by 255 (stated by p.json: mean)",
            ),
            (
                mean,
                [58.0; 3],
                None,
                "`mean` looks like units of 0 to 1, `scale` like units of 0 to 255: give 123.675,116.28,103.53 as `mean` \
                 (stated by p.json: mean)",
            ),
            (
                [123.0; 3],
                [58.0; 3],
                Some([0.5; 3]),
                "`scale` looks like units of 0 to 1, `mean` like units of 0 to 255: give 127.5,127.5,127.5 as `scale`",
            ),
            (
                [0.0; 3],
                [1.0 / 255.0; 3],
                None,
                "`scale` looks like a factor, but pixels are divided by it: give 255,255,255 (stated by p.json: scale)",
            ),
        ] {
            assert_eq!(warning(mean, scale, given).as_deref(), Some(expected));
        }
        assert_eq!(warning([0.0; 3], [1.0; 3], None), None);
        assert!(warning(mean, std, Some([58.0; 3])).is_some());
        assert_eq!(warning([123.0; 3], std, Some([58.0; 3])), None);
    }
}
