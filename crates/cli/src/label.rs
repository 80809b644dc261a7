//! The label of a device: its link id and PSK as one text, and as a QR code for a terminal, as SVG and as PNG
//! (PROTOCOL.md §4.7). It draws and never writes anything anywhere.

use anyhow::Context;
use qrcode::{Color, EcLevel, QrCode};
use vitalwire_registry::{DeviceId, Link};
use zeroize::Zeroizing;

/// Light modules around the code, as QR readers need them (ISO/IEC 18004 §6.3.8).
const QUIET_MODULES: usize = 4;
/// Pixels of a module's side in a PNG.
const MODULE_PIXELS: usize = 8;
/// The height of the text below the code in an SVG, in modules.
const TEXT_MODULES: usize = 7;

/// The pre-shared key as 64 lowercase hexadecimal digits.
pub(crate) fn psk_digits(link: &Link) -> Zeroizing<String> {
    let mut digits = Zeroizing::new(String::with_capacity(2 * link.psk.bytes().len()));
    for byte in link.psk.bytes() {
        digits.extend([byte >> 4, byte & 15].map(|value| char::from_digit(value.into(), 16).unwrap_or('0')));
    }
    digits
}

/// What the code says.
pub(crate) fn text(link: &Link) -> Zeroizing<String> {
    Zeroizing::new(format!("vitalwire:1?link={}&psk={}", link.id, psk_digits(link).as_str()))
}

/// A code with its quiet zone.
pub(crate) struct Label {
    /// Modules of a side.
    side: usize,
    /// Row by row; true where it is dark.
    dark: Vec<bool>,
}

impl Label {
    /// The label of a link.
    ///
    /// # Errors
    /// Never in practice: the text is short enough for a code.
    pub(crate) fn new(link: &Link) -> anyhow::Result<Self> {
        let code = QrCode::with_error_correction_level(text(link).as_bytes(), EcLevel::M)
            .context("cannot draw the code")?;
        let width = code.width();
        let side = width + 2 * QUIET_MODULES;
        let mut dark = Vec::with_capacity(side * side);
        let mut colors = code.into_colors().into_iter();
        let inside = QUIET_MODULES..QUIET_MODULES + width;
        for y in 0..side {
            for x in 0..side {
                let in_code = inside.contains(&x) && inside.contains(&y);
                dark.push(in_code && colors.next() == Some(Color::Dark));
            }
        }
        Ok(Self { side, dark })
    }

    fn is_dark(&self, x: usize, y: usize) -> bool {
        x < self.side && self.dark.get(y * self.side + x).copied().unwrap_or(false)
    }

    /// Two rows a line, as half blocks. With `colours`, black on white whatever the terminal's colours are; without, for a
    /// terminal with light text on a dark ground.
    pub(crate) fn terminal(&self, colours: bool) -> String {
        // What is not blank is drawn in the colour of text: dark modules on white, or light ones on the dark ground.
        let is_blank = |x, y| self.is_dark(x, y) != colours;
        let mut text = String::new();
        for y in (0..self.side).step_by(2) {
            if colours {
                text.push_str("\x1b[30;107m");
            }
            for x in 0..self.side {
                // Beyond the last row lies more of the quiet zone.
                text.push(match (is_blank(x, y), is_blank(x, y + 1)) {
                    (false, false) => '█',
                    (false, true) => '▀',
                    (true, false) => '▄',
                    (true, true) => ' ',
                });
            }
            text.push_str(if colours { "\x1b[0m\n" } else { "\n" });
        }
        text
    }

    /// A drawing of 50 by 50 mm and the device's name below it.
    pub(crate) fn svg(&self, device: &DeviceId) -> String {
        let (side, height) = (self.side, self.side + TEXT_MODULES);
        let mut path = String::new();
        for y in 0..side {
            for x in (0..side).filter(|x| self.is_dark(*x, y)) {
                path.push_str(&format!("M{x} {y}h1v1h-1z"));
            }
        }
        let millimetres = 50 * height / side;
        let (middle, baseline) = (side / 2, side + 2);
        // A long name is drawn as wide as the code, a short one as wide as it is.
        let fit = match device.as_str().len() > 20 {
            true => format!(" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\"", side - 2 * QUIET_MODULES),
            false => String::new(),
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"50mm\" height=\"{millimetres}mm\" \
             viewBox=\"0 0 {side} {height}\" shape-rendering=\"crispEdges\">\n\
             <title>{device}</title>\n\
             <rect width=\"{side}\" height=\"{height}\" fill=\"#fff\"/>\n\
             <path d=\"{path}\" fill=\"#000\"/>\n\
             <text x=\"{middle}\" y=\"{baseline}\" font-family=\"sans-serif\" font-size=\"4\" \
             text-anchor=\"middle\"{fit}>{device}</text>\n\
             </svg>\n"
        )
    }

    /// A black and white image of the code alone.
    ///
    /// # Errors
    /// Never in practice: it is drawn into memory.
    pub(crate) fn png(&self) -> anyhow::Result<Vec<u8>> {
        let pixels = self.side * MODULE_PIXELS;
        let side = u32::try_from(pixels).context("the code is too large")?;
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, side, side);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let image: Vec<u8> = (0..pixels * pixels)
            .map(|place| {
                let (x, y) = (place % pixels / MODULE_PIXELS, place / pixels / MODULE_PIXELS);
                if self.is_dark(x, y) { 0 } else { 255 }
            })
            .collect();
        let mut writer = encoder.write_header().context("cannot draw the image")?;
        writer.write_image_data(&image).context("cannot draw the image")?;
        writer.finish().context("cannot draw the image")?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
