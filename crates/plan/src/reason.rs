//! What amphorae say, as far as it is repeated to users and stored.

use octavia_model::{Reason, ReasonCode};
use octavia_wire::ListenerFault;

/// Characters of an amphora's own words that are kept.
const WORDS: usize = 300;

/// The words, cut: an amphora that somebody took over must not fill the database.
pub(crate) fn bounded(words: &str) -> String {
    match words.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

/// Why nothing is served although the amphora beats and answers.
pub(crate) fn proxy_not_running() -> Reason {
    let text = "The amphora runs, but not its proxy: no traffic is carried.";
    let advice = "It is started again and again, and the amphora replaced if that does not help. If it lasts, see \
                  in the amphora's log why it does not start.";
    Reason::new(ReasonCode::ProxyNotRunning, text, advice)
}

/// Why a listener could not be opened.
pub(crate) fn fault_reason(fault: &ListenerFault) -> Reason {
    Reason::new(fault.code, bounded(&fault.text), bounded(&fault.advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_cut_between_characters() {
        let exact = "é".repeat(WORDS);
        assert_eq!(bounded(&exact), exact);
        let cut = bounded(&"é".repeat(WORDS + 1));
        assert_eq!(cut, format!("{exact}…"));
        assert_eq!(bounded(""), "");
    }
}
