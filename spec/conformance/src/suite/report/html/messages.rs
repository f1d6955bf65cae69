//! The bytes of the messages, each message once, shown where it is clicked.

use std::collections::HashMap;

use super::escaped;
use crate::codec::Header;
use crate::suite::report::annotated::{Field, fields};

/// The most bytes that the messages of a page may take together.
const BYTES_MAX: usize = 600 << 10;
/// The most commands of a message that are spelled out.
const COMMANDS_MAX: usize = 4;
/// The most bytes of a field that are shown.
const FIELD_BYTES_MAX: usize = 64;
/// How many colours there are for fields.
const COLOURS: usize = 5;

/// The messages that a page shows.
#[derive(Debug, Default)]
pub(super) struct Messages {
    numbers: HashMap<Vec<u8>, usize>,
    html: String,
}

impl Messages {
    /// The number of a message, if there is room to show it.
    pub(super) fn number(&mut self, message: &[u8]) -> Option<usize> {
        if let Some(number) = self.numbers.get(message) {
            return Some(*number);
        }
        let number = self.numbers.len();
        let html = shown(number, message);
        if self.html.len() + html.len() > BYTES_MAX {
            return None;
        }
        self.html.push_str(&html);
        self.numbers.insert(message.to_vec(), number);
        Some(number)
    }

    /// All of them, hidden until they are asked for.
    pub(super) fn html(&self) -> &str {
        &self.html
    }
}

fn shown(number: usize, message: &[u8]) -> String {
    let kind = match Header::decode(message) {
        Ok((header, _)) => header.kind.to_string(),
        Err(_) => "no message".to_owned(),
    };
    let mut bytes = String::new();
    let mut rows = String::new();
    for (index, field) in fields(message, COMMANDS_MAX).iter().enumerate() {
        let class = match field.name {
            "padding" | "unused" => "cp".to_owned(),
            _ => format!("c{}", index % COLOURS),
        };
        let (hexadecimal, text) = written(message, field);
        let (name, value) = (field.name, escaped(&field.value));
        bytes.push_str(&format!("<span class=\"{class}\" title=\"{name}\">{hexadecimal}</span> "));
        let at = field.bytes.start;
        rows.push_str(&format!(
            "<tr><td>{at}</td><td class=\"{class}\">{name}</td><td>{value}{text}</td></tr>"
        ));
    }
    let length = message.len();
    format!(
        "<div popover=\"\" id=\"m{number}\" class=\"m\"><h4>{kind} <small>{length} bytes</small>\
         </h4><p class=\"x\">{bytes}</p><table><tr><th>at</th><th>field</th><th>value</th></tr>\
         {rows}</table></div>\n"
    )
}

/// The first bytes of a field as hexadecimal digits and, where it is long, as text.
fn written(message: &[u8], field: &Field) -> (String, String) {
    let bytes = message.get(field.bytes.clone()).unwrap_or_default();
    let shown = bytes.get(..FIELD_BYTES_MAX).unwrap_or(bytes);
    let digits: Vec<_> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    let more = if shown.len() < bytes.len() { " …" } else { "" };
    let text = match bytes.len() {
        0..=8 => String::new(),
        _ => {
            let letter = |byte: &u8| match byte {
                0x20..=0x7e => char::from(*byte),
                _ => '·',
            };
            let letters: String = shown.iter().map(letter).collect();
            format!(" <code>{}{more}</code>", escaped(&letters))
        }
    };
    (format!("{}{more}", digits.join(" ")), text)
}
