//! The requirements, as they stand in the text of the specification.

use std::sync::LazyLock;

/// A chapter: the number and the text of its file.
const TEXTS: [(&str, &str); 11] = [
    ("01-overview", include_str!("../../../text/01-overview.md")),
    ("02-connection", include_str!("../../../text/02-connection.md")),
    ("03-control-channel", include_str!("../../../text/03-control-channel.md")),
    ("04-ram-blocks", include_str!("../../../text/04-ram-blocks.md")),
    ("05-registration", include_str!("../../../text/05-registration.md")),
    ("06-ram-writes", include_str!("../../../text/06-ram-writes.md")),
    ("07-zero-pages", include_str!("../../../text/07-zero-pages.md")),
    ("08-stream", include_str!("../../../text/08-stream.md")),
    ("09-rounds", include_str!("../../../text/09-rounds.md")),
    ("10-errors", include_str!("../../../text/10-errors.md")),
    ("11-limits", include_str!("../../../text/11-limits.md")),
];

/// A sentence that binds implementations.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Requirement {
    /// A word for the chapter, and a number: `REG-7`.
    pub id: &'static str,
    /// The sentence.
    pub text: String,
    /// The chapter that it stands in.
    pub chapter: Chapter,
}

/// A chapter of the specification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chapter {
    /// The name of its file, without the ending: `05-registration`.
    pub file: &'static str,
    /// Its heading.
    pub title: &'static str,
}

impl Chapter {
    /// Of a case that no requirement has a chapter for.
    pub const NONE: Self = Self { file: "", title: "Other" };
}

/// All requirements, in the order of the text.
pub fn all() -> &'static [Requirement] {
    static ALL: LazyLock<Vec<Requirement>> =
        LazyLock::new(|| TEXTS.iter().flat_map(|(file, text)| read_chapter(file, text)).collect());
    &ALL
}

/// The requirement of this name.
#[must_use]
pub fn find(id: &str) -> Option<&'static Requirement> {
    all().iter().find(|requirement| requirement.id == id)
}

/// The chapter whose requirements begin with this word.
#[must_use]
pub fn chapter(word: &str) -> Option<Chapter> {
    let of_word = |id: &str| id.split_once('-').is_some_and(|(prefix, _)| prefix == word);
    all().iter().find(|requirement| of_word(requirement.id)).map(|found| found.chapter)
}

fn read_chapter(file: &'static str, text: &'static str) -> Vec<Requirement> {
    let title = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(file);
    let chapter = Chapter { file, title };
    let mut found: Vec<Requirement> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if let Some((id, sentence)) = opening(line) {
            found.push(Requirement { id, text: sentence.to_owned(), chapter });
            open = true;
        } else if line.trim().is_empty() {
            open = false;
        } else if let Some(last) = found.last_mut().filter(|_| open) {
            last.text.push(' ');
            last.text.push_str(line.trim());
        }
    }
    found
}

/// The name and the beginning of a requirement, if a line has one.
fn opening(line: &'static str) -> Option<(&'static str, &'static str)> {
    let (id, sentence) = line.strip_prefix('[')?.split_once("] ")?;
    let (word, number) = id.split_once('-')?;
    let named = word.chars().all(|letter| letter.is_ascii_uppercase()) && !word.is_empty();
    (named && number.parse::<u32>().is_ok()).then_some((id, sentence.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_a_sentence_with_a_name_of_its_own() {
        let mut ids: Vec<_> = all().iter().map(|requirement| requirement.id).collect();
        assert!(ids.len() >= 131);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all().len());
        for Requirement { id, text, .. } in all() {
            assert!(text.ends_with('.') && !text.contains('\n'), "{id}: {text}");
            let binds = ["MUST", "SHOULD", "MAY"].iter().any(|word| text.contains(word));
            assert!(binds, "{id}: {text}");
        }
    }

    #[test]
    fn a_requirement_is_found_with_its_chapter() {
        let requirement = find("CTL-2").unwrap();
        assert_eq!(
            requirement.text,
            "A receiver MUST reject a message that is shorter than its header."
        );
        assert_eq!(requirement.chapter.file, "03-control-channel");
        assert_eq!(chapter("WRITE").unwrap().title, "RAM writes");
        assert_eq!(find("CTL-0"), None);
        assert_eq!(chapter("NONE"), None);
    }

    #[test]
    fn a_wrapped_sentence_is_one_sentence() {
        let text =
            "# Made up\n\n[ABC-1] A peer MUST do\n  this.\n[ABC-2] It MAY rest.\n\nNo more.\n";
        let found = read_chapter("00-made-up", text);
        let texts: Vec<_> = found.iter().map(|requirement| requirement.text.as_str()).collect();
        assert_eq!(texts, ["A peer MUST do this.", "It MAY rest."]);
        assert_eq!(found[0].chapter.title, "Made up");
    }
}
