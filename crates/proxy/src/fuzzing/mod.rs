//! What must hold for any bytes: played over a corpus by the tests, and searched for exceptions by `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "what fails here is what is looked for")]

mod certificate;
mod chunked;
mod head;
mod http2;
mod http2_member;
mod introduction;
mod layer7;
mod persistence;
mod spec;

pub use certificate::client_certificate;
pub use chunked::chunked as http_chunked;
pub use head::{request as http_request, response as http_response};
pub use http2::{block as hpack, frames as http2};
pub use http2_member::frames as http2_member;
pub use introduction::proxy_protocol;
pub use layer7::layer7;
#[cfg(test)]
pub(crate) use layer7::{policy, rule};
pub use persistence::persistence;
pub use spec::spec;

pub use crate::health::fuzzing::{answer as check_answer, ping_reply, sctp_answer};

#[cfg(test)]
mod tests {
    use octavia_corpus::play;

    #[test]
    fn http_request() {
        play("http_request", super::http_request);
    }

    #[test]
    fn http_response() {
        play("http_response", super::http_response);
    }

    #[test]
    fn http_chunked() {
        play("http_chunked", super::http_chunked);
    }

    #[test]
    fn http2() {
        play("http2", super::http2);
    }

    #[test]
    fn http2_member() {
        play("http2_member", super::http2_member);
    }

    #[test]
    fn hpack() {
        play("hpack", super::hpack);
    }

    #[test]
    fn check_answer() {
        play("check_answer", super::check_answer);
    }

    #[test]
    fn ping_reply() {
        play("ping_reply", super::ping_reply);
    }

    #[test]
    fn sctp_answer() {
        play("sctp_answer", super::sctp_answer);
    }

    #[test]
    fn layer7() {
        play("layer7", super::layer7);
    }

    #[test]
    fn persistence() {
        play("persistence", super::persistence);
    }

    #[test]
    fn client_certificate() {
        play("client_certificate", super::client_certificate);
    }

    #[test]
    fn proxy_protocol() {
        play("proxy_protocol", super::proxy_protocol);
    }

    #[test]
    fn spec() {
        play("spec", super::spec);
    }
}
