/// Text that a peer has sent, made fit for a terminal: control characters are escaped, so that no
/// name can move the cursor or change a colour.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let harmless = !character.is_control() && character != '\u{fffd}';
            let escaped = (!harmless).then(|| character.escape_default());
            escaped.into_iter().flatten().chain(harmless.then_some(character))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("pc.ram"), "pc.ram");
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
