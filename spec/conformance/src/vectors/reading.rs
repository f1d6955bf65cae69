//! What a reader finds in bytes: plain values, named as the tables of the specification name them.

use serde::{Deserialize, Serialize};

use super::bytes::{is_once, once};

/// A field of 64 bits, as text: `"0x1000"`. Not every reader of TOML or JSON keeps 64 bits.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Wide(pub u64);

/// Text that is not `0x` with hexadecimal digits behind it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not 0x and 1 to 16 hexadecimal digits: {found:?}")]
pub struct NotWide {
    found: String,
}

impl TryFrom<String> for Wide {
    type Error = NotWide;

    fn try_from(text: String) -> Result<Self, NotWide> {
        let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+'));
        let value = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        value.map(Self).ok_or(NotWide { found: text })
    }
}

impl From<Wide> for String {
    fn from(Wide(value): Wide) -> Self {
        format!("{value:#x}")
    }
}

/// Private data.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CapabilitiesReading {
    /// The protocol version.
    pub version: u32,
    /// One bit for each capability.
    pub flags: u32,
}

/// A control message.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MessageReading {
    /// The name of its `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes of the payload.
    pub length: u32,
    /// Where the header's `repeat` says something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u32>,
    /// What the payload consists of, in the kinds that carry entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<Entries>>,
}

impl MessageReading {
    /// The entries one by one.
    pub fn each_entry(&self) -> impl Iterator<Item = Entry> + '_ {
        let groups = self.entries.iter().flatten();
        groups.flat_map(|entries| std::iter::repeat_n(entries.entry, entries.times))
    }

    /// The same with one group for each run of equal entries.
    #[must_use]
    pub fn grouped(mut self) -> Self {
        let each: Vec<_> = self.each_entry().collect();
        if self.entries.is_some() {
            self.entries = Some(Entries::group(each));
        }
        self
    }
}

/// Equal entries, one after the other.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entries {
    /// Each of them.
    #[serde(flatten)]
    pub entry: Entry,
    /// How many, 1 where it is not said.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: usize,
}

impl Entries {
    /// One group for each run of equal entries.
    pub fn group(each: impl IntoIterator<Item = Entry>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for entry in each {
            match groups.last_mut() {
                Some(last) if last.entry == entry => last.times += 1,
                _ => groups.push(Self { entry, times: 1 }),
            }
        }
        groups
    }
}

/// A command, a result or a RAM block in the payload of a message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the tables of the specification say what the fields are")]
pub enum Entry {
    /// Of RAM_BLOCKS_RESULT.
    RamBlock { remote_address: Wide, offset: Wide, length: Wide, rkey: u32 },
    /// Of COMPRESS.
    Compress { value: u32, block: u32, offset: Wide, length: Wide },
    /// Of REGISTER_REQUEST.
    RegisterRequest { address: Wide, block: u32, chunks: Wide },
    /// Of REGISTER_RESULT.
    RegisterResult { rkey: u32, host_address: Wide },
    /// Of UNREGISTER_REQUEST.
    UnregisterRequest { chunk: Wide, block: u32 },
}

/// A migration stream up to the hook word behind its list of RAM blocks.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StreamReading {
    /// The capabilities that the configuration names, in its order.
    pub capabilities: Vec<String>,
    /// Whether the return path is opened.
    pub return_path: bool,
    /// Whether postcopy is announced.
    pub postcopy: bool,
    /// The RAM blocks. A block's position, from 0, is its index.
    pub blocks: Vec<NamedBlock>,
}

/// A RAM block in the list of the stream.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NamedBlock {
    /// Its name.
    pub name: String,
    /// Bytes in use.
    pub length: Wide,
    /// Bytes of a page, where the stream says them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<Wide>,
}

/// A whole migration stream, seen from its end.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StreamEndReading {
    /// Bytes of the description of the device state.
    pub description: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_64_bits_are_text() {
        let wide = |text: &str| Wide::try_from(text.to_owned());
        assert_eq!(wide("0xffffffffffffffff"), Ok(Wide(u64::MAX)));
        assert_eq!(String::from(Wide(0x1000)), "0x1000");
        for wrong in ["4096", "0x", "0x+1", "0x10000000000000000"] {
            assert!(wide(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn equal_entries_are_one_group() {
        let result = |rkey| Entry::RegisterResult { rkey, host_address: Wide(0) };
        let groups = Entries::group([result(1), result(1), result(2)]);
        assert_eq!(groups.iter().map(|group| group.times).collect::<Vec<_>>(), [2, 1]);
    }
}
