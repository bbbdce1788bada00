//! Small words: plurals, lists, and the nearest known word to a mistyped one.
//!
//! Nothing here knows what the words are about.

/// `1 delivery`, `2 deliveries`: the number with the form that fits it.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The candidate that `word` was most likely meant to be; none when nothing is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (likeness(word, candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// 0 to 1. One slip of the finger in a short word counts as much as a like beginning.
fn likeness(word: &str, candidate: &str) -> f64 {
    let slip = word.len() > 2 && strsim::osa_distance(word, candidate) == 1;
    strsim::jaro_winkler(word, candidate).max(if slip { 0.9 } else { 0.0 })
}

/// `` `a`, `b` and `c` ``: the words in backticks, as a sentence lists them.
pub fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// A word made safe for a command line that the user may paste: as it is where it is plain, else in single quotes.
pub fn shell_word(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=@,+%".contains(&b));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("stagin", ["production", "staging"]), Some("staging"));
        assert_eq!(nearest("ulr", ["url", "key"]), Some("url"));
        assert_eq!(nearest("zzz", ["production", "staging"]), None);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(listed([]), "none");
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }

    #[test]
    fn shell_words_are_quoted_only_where_a_shell_would_read_them_otherwise() {
        assert_eq!(shell_word("a/b.xml"), "a/b.xml");
        assert_eq!(shell_word("http://h/?a=1&b=2"), "'http://h/?a=1&b=2'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
