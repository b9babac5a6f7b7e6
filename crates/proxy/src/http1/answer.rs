//! Answers the proxy gives by itself, when no member can or may.

use std::io::Write;

/// Appends a whole response with this status. `close` = it is the last on its connection; `to_head` = the request
/// was HEAD, so the body stays away.
pub fn write_answer(status: u16, close: bool, to_head: bool, out: &mut Vec<u8>) {
    let (reason, sentence) = words(status);
    let body = format!("<html><body><h1>{status} {reason}</h1>\n{sentence}\n</body></html>\n");
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "HTTP/1.1 {status} {reason}\r\nContent-Length: {}\r\nCache-Control: no-cache\r\nContent-Type: text/html\r\n{}\r\n",
        body.len(),
        if close { "Connection: close\r\n" } else { "" },
    );
    if !to_head {
        out.extend_from_slice(body.as_bytes());
    }
}

fn words(status: u16) -> (&'static str, &'static str) {
    match status {
        405 => ("Method Not Allowed", "The load balancer does not tunnel."),
        408 => ("Request Timeout", "The request took too long to arrive."),
        414 => ("URI Too Long", "The request target is too long."),
        417 => ("Expectation Failed", "The expectation of the request cannot be met."),
        431 => ("Request Header Fields Too Large", "The head of the request is too large."),
        502 => ("Bad Gateway", "The member that took the request gave no usable answer."),
        503 => ("Service Unavailable", "No member can take the request now."),
        504 => ("Gateway Timeout", "The member that took the request did not answer in time."),
        505 => ("HTTP Version Not Supported", "Only HTTP/1.0 and HTTP/1.1 are spoken here."),
        _ => ("Bad Request", "The request is not valid HTTP."),
    }
}
