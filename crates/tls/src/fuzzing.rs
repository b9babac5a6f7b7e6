//! What must hold for any bytes: played over a corpus by the tests, and searched for exceptions by `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "what fails here is what is looked for")]

use crate::{CaBundle, Crls, Parts, TlsBundle, TlsError, certificate, ocsp_question};

/// `data` as each thing it could be. What was read once can be read again from what came out of it.
pub fn tls_bundle(data: &[u8]) -> bool {
    let one = checked(TlsBundle::from_one(data));
    let two = checked(TlsBundle::from_parts(&Parts {
        certificate: data,
        private_key: data,
        intermediates: Some(data),
        passphrase: Some(b"x\n"),
    }));
    for bundle in [&one, &two].into_iter().flatten() {
        assert!(!bundle.names().is_empty());
        let public = certificate::public_key(&bundle.chain()[0]).unwrap();
        assert!(bundle.key().belongs_to(&public));
        let shown = format!("{:?}", bundle.key());
        assert!(shown.len() < 32, "{shown}");
        let key = bundle.key().der();
        let again = TlsBundle::from_parts(&Parts {
            certificate: &bundle.chain()[0],
            private_key: key.secret_der(),
            intermediates: None,
            passphrase: None,
        })
        .unwrap();
        assert_eq!(again.chain(), &bundle.chain()[..1]);
        assert_eq!(again.key(), bundle.key());
    }
    let authorities = checked(CaBundle::read(data));
    if let Some(authorities) = &authorities {
        for der in authorities.certificates() {
            assert_eq!(CaBundle::read(der).unwrap().certificates(), std::slice::from_ref(der));
        }
    }
    let lists = checked(Crls::read(data));
    if let (Some(lists), Some(authorities)) = (&lists, &authorities) {
        checked(lists.check_signed_by(authorities));
    }
    one.is_some() || two.is_some() || authorities.is_some() || lists.is_some()
}

/// In 2030, when the answers of the corpus hold.
const THEN: i64 = 1_900_000_000;

/// `data` as what a responder answers about a certificate. What is taken is shown as it is, and holds now.
pub fn ocsp_answer(data: &[u8]) -> bool {
    let chain = [&include_bytes!("fuzzing/leaf.der")[..], &include_bytes!("fuzzing/issuer.der")[..]];
    let question = ocsp_question(chain).unwrap();
    let Ok(answer) = question.judge(data, THEN) else { return false };
    assert!(answer.der == data && answer.since <= THEN + 300 && THEN < answer.until);
    true
}

fn checked<T>(result: Result<T, TlsError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let text = error.to_string();
            assert!(text.ends_with('.') || text.ends_with("cbc"), "{text}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use octavia_corpus::play;

    #[test]
    fn tls_bundle() {
        play("tls_bundle", super::tls_bundle);
    }

    #[test]
    fn ocsp_answer() {
        play("ocsp_answer", super::ocsp_answer);
    }
}
