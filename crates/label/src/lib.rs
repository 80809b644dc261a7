//! What a person carries to a device: its link id and PSK as one text (PROTOCOL.md §4.7), or what opens its configuration page (§4.8),
//! as QR codes for a terminal, as SVG and as PNG; and the sector of flash that makes a piece of hardware this device. It draws and
//! encodes, and never writes anything anywhere.

mod identity;
mod setup;

use std::ops::Range;

use qrcode::{Color, EcLevel, QrCode};
use vitalwire_access::DeviceId;
use vitalwire_protocol::CbcSecret;
use vitalwire_registry::Link;
use zeroize::Zeroizing;

pub use crate::identity::{IdentityError, identity_sector, identity_uf2};
pub use crate::setup::{NETWORK, page_url, setup_label, wifi_code};

/// Light modules around the code, as QR readers need them (ISO/IEC 18004 §6.3.8).
const QUIET_MODULES: usize = 4;
/// The same on a screen: enough for what reads codes today, and the code of a key fits 23 lines.
const SCREEN_QUIET_MODULES: usize = 2;
/// Pixels of a module's side in a PNG.
const MODULE_PIXELS: usize = 8;
/// The height of the text below the code in an SVG, in modules.
const TEXT_MODULES: usize = 7;
/// The side of a code in an SVG.
const CODE_MILLIMETRES: usize = 50;
/// Words of so many characters are narrower than a code, however wide the letters.
const CAPTION_LEN_FREE: usize = 20;

/// A key in lowercase hexadecimal digits.
#[must_use]
pub fn key_digits(key: &[u8]) -> Zeroizing<String> {
    let mut digits = Zeroizing::new(String::with_capacity(2 * key.len()));
    for byte in key {
        digits.extend([byte >> 4, byte & 15].map(|value| char::from_digit(value.into(), 16).unwrap_or('0')));
    }
    digits
}

/// The line of the paper's key file, as `vitalwire device import` and the paper's own server read it.
#[must_use]
pub fn key_line(id: &DeviceId, secret: &CbcSecret) -> String {
    let text = |bytes: &[u8; 16]| serde_json::Value::from(String::from_utf8_lossy(bytes)).to_string();
    format!(r#"{{ "id":"{id}", "key":{}, "iv":{}}}"#, text(secret.key()), text(secret.iv()))
}

/// What the code says.
#[must_use]
pub fn text(link: &Link) -> Zeroizing<String> {
    Zeroizing::new(format!("vitalwire:1?link={}&psk={}", link.id, key_digits(link.psk.bytes()).as_str()))
}

/// Why there is no label; it never happens with the texts of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A text is too long for a code.
    #[error("cannot draw the code: its text is too long")]
    Code,
    /// The codes are too large for an image.
    #[error("cannot draw the image")]
    Image,
}

/// What one code says, and the words below it.
pub struct Part<'t> {
    /// What a reader of the code gets.
    pub text: &'t str,
    /// What a person reads.
    pub caption: String,
}

/// Codes side by side, each with its quiet zone.
pub struct Label {
    /// Modules of a row, and rows.
    width: usize,
    height: usize,
    /// Row by row; true where it is dark.
    dark: Vec<bool>,
    captions: Vec<Caption>,
}

/// Words below a code, and the columns that they have.
struct Caption {
    text: String,
    columns: Range<usize>,
}

impl Label {
    /// The label of a link: one code, with the device's name below it.
    ///
    /// # Errors
    /// Never in practice: the text is short enough for a code.
    pub fn new(link: &Link, device: &DeviceId) -> Result<Self, LabelError> {
        Self::of(&[Part { text: &text(link), caption: device.to_string() }])
    }

    /// Codes for a screen, side by side and without words: as small as readers can still read them, for a terminal has 24
    /// lines, and a screen has neither dirt nor scratches.
    ///
    /// # Errors
    /// When a text is too long for a code.
    pub fn screen(texts: &[&str]) -> Result<Self, LabelError> {
        let parts: Vec<_> = texts.iter().map(|text| Part { text, caption: String::new() }).collect();
        Self::drawn(&parts, EcLevel::L, SCREEN_QUIET_MODULES)
    }

    /// A label with these codes.
    ///
    /// # Errors
    /// When a text is too long for a code.
    pub fn of(parts: &[Part<'_>]) -> Result<Self, LabelError> {
        Self::drawn(parts, EcLevel::M, QUIET_MODULES)
    }

    fn drawn(parts: &[Part<'_>], correction: EcLevel, quiet: usize) -> Result<Self, LabelError> {
        let codes: Vec<_> = parts
            .iter()
            .map(|part| QrCode::with_error_correction_level(part.text.as_bytes(), correction))
            .collect::<Result<_, _>>()
            .map_err(|_| LabelError::Code)?;
        let sides: Vec<_> = codes.iter().map(|code| code.width() + 2 * quiet).collect();
        let (width, height) = (sides.iter().sum(), sides.iter().max().copied().unwrap_or_default());
        let mut label = Self { width, height, dark: vec![false; width * height], captions: Vec::new() };
        let mut left = 0;
        for ((code, side), part) in codes.into_iter().zip(sides).zip(parts) {
            label.captions.push(Caption { text: part.caption.clone(), columns: left..left + side });
            label.draw(code, left + quiet, quiet);
            left += side;
        }
        Ok(label)
    }

    /// Draws a code with its upper left corner there.
    fn draw(&mut self, code: QrCode, left: usize, top: usize) {
        let side = code.width();
        for (place, color) in code.into_colors().into_iter().enumerate() {
            let (x, y) = (left + place % side, top + place / side);
            if let Some(module) = self.dark.get_mut(y * self.width + x) {
                *module = color == Color::Dark;
            }
        }
    }

    fn is_dark(&self, x: usize, y: usize) -> bool {
        x < self.width && self.dark.get(y * self.width + x).copied().unwrap_or(false)
    }

    /// Columns and lines that [`Self::terminal`] takes.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height.div_ceil(2))
    }

    /// Two rows a line, as half blocks. With `colours`, black on white whatever the terminal's colours are; without, for a
    /// terminal with light text on a dark ground.
    #[must_use]
    pub fn terminal(&self, colours: bool) -> String {
        let (before, after) = if colours { ("\x1b[30;107m", "\x1b[0m\n") } else { ("", "\n") };
        self.lines(colours).flat_map(|line| [before.to_owned(), line, after.to_owned()]).collect()
    }

    /// Two rows a line, as half blocks: of dark modules, or of light ones.
    pub fn lines(&self, of_dark: bool) -> impl Iterator<Item = String> {
        // Beyond the last row lies more of the quiet zone.
        let is_blank = move |x, y| self.is_dark(x, y) != of_dark;
        (0..self.height).step_by(2).map(move |y| {
            let blocks = (0..self.width).map(|x| match (is_blank(x, y), is_blank(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
            blocks.collect()
        })
    }

    /// A drawing, 50 mm wide for each code, with the words below each.
    #[must_use]
    pub fn svg(&self, title: &str) -> String {
        let (width, height) = (self.width, self.height + TEXT_MODULES);
        let mut path = String::new();
        for y in 0..self.height {
            for x in (0..width).filter(|x| self.is_dark(*x, y)) {
                path.push_str(&format!("M{x} {y}h1v1h-1z"));
            }
        }
        let millimetres = CODE_MILLIMETRES * self.captions.len();
        let (high, baseline) = (millimetres * height / width, self.height + 2);
        let words: String = self.captions.iter().map(|caption| caption.svg(baseline)).collect();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{millimetres}mm\" height=\"{high}mm\" \
             viewBox=\"0 0 {width} {height}\" shape-rendering=\"crispEdges\">\n\
             <title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
             <path d=\"{path}\" fill=\"#000\"/>\n\
             {words}</svg>\n"
        )
    }

    /// A black and white image of the codes alone.
    ///
    /// # Errors
    /// Never in practice: it is drawn into memory.
    pub fn png(&self) -> Result<Vec<u8>, LabelError> {
        let (width, height) = (self.width * MODULE_PIXELS, self.height * MODULE_PIXELS);
        let pixels = |modules: usize| u32::try_from(modules).map_err(|_| LabelError::Image);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, pixels(width)?, pixels(height)?);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let image: Vec<u8> = (0..width * height)
            .map(|place| {
                let (x, y) = (place % width / MODULE_PIXELS, place / width / MODULE_PIXELS);
                if self.is_dark(x, y) { 0 } else { 255 }
            })
            .collect();
        let mut writer = encoder.write_header().map_err(|_| LabelError::Image)?;
        writer.write_image_data(&image).map_err(|_| LabelError::Image)?;
        writer.finish().map_err(|_| LabelError::Image)?;
        Ok(bytes)
    }
}

impl Caption {
    fn svg(&self, baseline: usize) -> String {
        let side = self.columns.len();
        let (text, middle) = (&self.text, self.columns.start + side / 2);
        // Long words are drawn as wide as the code, short ones as wide as they are.
        let fit = match text.len() > CAPTION_LEN_FREE {
            true => format!(" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\"", side - 2 * QUIET_MODULES),
            false => String::new(),
        };
        format!(
            "<text x=\"{middle}\" y=\"{baseline}\" font-family=\"sans-serif\" font-size=\"4\" \
             text-anchor=\"middle\"{fit}>{text}</text>\n"
        )
    }
}

#[cfg(test)]
mod tests;
