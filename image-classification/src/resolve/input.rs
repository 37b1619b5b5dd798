//! The fit of the preprocessing to the channels and the element type of the model's input.

use backend_api::ElementType;

use super::{Note, ResolvedPreprocessing};
use crate::preprocess::Clipping;
use crate::setting::numbers;
use crate::{ColorOrder, InputLayout, SettingOrigin};

/// The source of values that the engine reports.
pub(super) const INPUT: &str = "the model's input";

impl ResolvedPreprocessing {
    /// Takes grey for an input of one channel. Returns a note if the caller gives another color.
    pub(super) fn fit_channels(&mut self, layout: &InputLayout) -> Option<Note> {
        if layout.channels() != 1 {
            return None;
        }
        let given = self.preprocess.color;
        self.preprocess.color = ColorOrder::Grey;
        self.assumed.retain(|key| *key != "color");
        let mut is_overridden = false;
        for setting in &mut self.settings {
            match setting.key {
                "color" if given != ColorOrder::Grey => {
                    is_overridden = matches!(setting.origin, SettingOrigin::Override(_));
                    setting.value = ColorOrder::Grey.to_string();
                    setting.origin = INPUT.into();
                    setting.others.clear();
                }
                "mean" => setting.value = numbers(&self.preprocess.mean, 1),
                "scale" => setting.value = numbers(&self.preprocess.scale, 1),
                _ => {}
            }
        }
        is_overridden.then(|| {
            Note::new(format!(
                "`color` is {given}, but the model's input has one channel; using grey"
            ))
        })
    }

    /// Decides the values that an input of integers gets: the quantized real values where a source states the mean or
    /// the scale, else unchanged pixels. Returns a note on the latter.
    pub(super) fn fit_values(&mut self, layout: InputLayout) -> (InputLayout, Option<Note>) {
        let element_type = layout.element_type();
        if element_type.is_float() {
            return (layout, None);
        }
        let quantization = self.input_quantization.as_ref().map(|it| it.value);
        let is_assumed = ["mean", "scale"]
            .iter()
            .all(|key| self.assumed.contains(key));
        if !is_assumed {
            return (layout.quantized(quantization), None);
        }
        let Some(quantization) = quantization else {
            let text = format!(
                "the model and its files do not state mean and scale; its {element_type} input gets unchanged pixels, \
                 0-255"
            );
            return (layout, Some(Note::new(text)));
        };
        // The range of the integers is that of the pixels which the model was calibrated with.
        let (mean, given) = match element_type {
            ElementType::U8 => (0.0, "unchanged pixels, 0-255"),
            ElementType::I8 => (128.0, "pixels minus 128"),
            _ => return (layout.quantized(Some(quantization)), None),
        };
        (self.preprocess.mean, self.preprocess.scale) = ([mean; 3], [1.0; 3]);
        for setting in &mut self.settings {
            let values = match setting.key {
                "mean" => &self.preprocess.mean,
                "scale" => &self.preprocess.scale,
                _ => continue,
            };
            setting.value = numbers(values, layout.channels());
            setting.origin = "the quantization of the model's input".into();
        }
        let color = self.settings.iter().find(|setting| setting.key == "color");
        let color = color.map_or_else(String::new, |setting| {
            format!(", {} by {}", setting.value, setting.origin)
        });
        let text = format!(
            "the model and its files do not state mean and scale; its input is {element_type} with a quantization \
             ({quantization}); assuming {given}{color}; give `mean` and `scale` if the real values differ"
        );
        (layout, Some(Note::new(text)))
    }

    /// Returns a warning or a note if the input cannot hold all values that images have.
    pub(super) fn clipping_note(&self, layout: &InputLayout) -> Option<Note> {
        let element_type = layout.element_type();
        Some(match self.preprocess.clipping(layout)? {
            Clipping::Pixels { values, steps } => {
                let quantization = layout.quantization()?;
                Note::warning(format!(
                    "the model's input is {element_type} with a quantization ({quantization}) whose range is smaller than \
                     that of (pixel - mean) / scale: {values} of 256 values are clipped, by up to {steps} steps; check \
                     `mean` and `scale`"
                ))
            }
            Clipping::Overshoot => Note::new(format!(
                "`interpolation` {} may return values below 0 and above 255 at edges, which the model's {element_type} input \
                 cannot hold; they are clipped",
                self.preprocess.interpolation
            )),
        })
    }
}
