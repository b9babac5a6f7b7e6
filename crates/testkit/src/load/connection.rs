//! One connection of the load generator: sends, reads a response whole, judges it.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Expect, FailureKind, Good, LoadPlan, Mode, Pace, Shared};
use crate::origin::{ID_HEADER, lock};

/// A response head larger than this, in bytes, is malformed.
const HEAD_MAX: usize = 64 << 10;

type Failed = (FailureKind, String);

pub(super) async fn run(shared: Arc<Shared>) {
    let plain = bytes::Bytes::from(request_text(&shared.plan));
    let mut buffer = Vec::with_capacity(128 << 10);
    let mut open: Option<TcpStream> = None;
    while let Some((number, due)) = shared.next_start() {
        tokio::time::sleep_until(due.into()).await;
        // A late request is late for whoever waits for it, too.
        let start = if shared.plan.pace == Pace::Closed { Instant::now() } else { due };
        let request = shared.plan.script.as_ref().map_or_else(|| plain.clone(), |script| (script.0)(number));
        let work = exchange(&shared, &request, &mut open, &mut buffer);
        let outcome = match tokio::time::timeout(shared.plan.timeout, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err((FailureKind::Timeout, format!("{} bytes of a response so far", buffer.len()))),
        };
        if outcome.is_err() {
            // A refused connection fails at once: do not turn an outage into a busy loop.
            open = None;
            shared.record(start.elapsed(), outcome);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        } else {
            shared.record(start.elapsed(), outcome);
        }
    }
}

fn request_text(plan: &LoadPlan) -> Vec<u8> {
    let close = match plan.mode {
        Mode::KeepAlive => "",
        Mode::Short => "Connection: close\r\n",
    };
    format!("GET {} HTTP/1.1\r\nHost: {}\r\n{close}\r\n", plan.path, plan.host).into_bytes()
}

async fn exchange(
    shared: &Shared,
    request: &[u8],
    open: &mut Option<TcpStream>,
    buffer: &mut Vec<u8>,
) -> Result<Good, Failed> {
    buffer.clear();
    let (mut stream, reused) = match open.take() {
        Some(stream) => (stream, true),
        None => {
            let stream = TcpStream::connect(shared.plan.target).await.map_err(connect_failed)?;
            let _ = stream.set_nodelay(true);
            lock(&shared.report).connects += 1;
            (stream, false)
        }
    };
    stream.write_all(request).await.map_err(|error| broken(&error, reused, 0, "sending"))?;
    let (good, keep) = read_response(&mut stream, &shared.plan.expect, buffer, reused).await?;
    if shared.plan.mode == Mode::KeepAlive && keep {
        *open = Some(stream);
    } else if shared.plan.mode == Mode::Short {
        // The other side was asked to close: it shall, and say nothing more.
        match stream.read_buf(buffer).await {
            Ok(0) => (),
            Ok(count) => return Err((FailureKind::Malformed, format!("{count} bytes after the response"))),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => (),
            Err(error) => return Err((FailureKind::Reset, format!("after the response: {error}"))),
        }
    }
    Ok(good)
}

fn connect_failed(error: std::io::Error) -> Failed {
    let kind = match error.kind() {
        ErrorKind::ConnectionRefused => FailureKind::ConnectRefused,
        _ => FailureKind::ConnectOther,
    };
    (kind, format!("connecting: {error}"))
}

fn broken(error: &std::io::Error, reused: bool, received: usize, doing: &str) -> Failed {
    let kind = match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset if reused && received == 0 => {
            FailureKind::ReuseClosed
        }
        _ => FailureKind::Reset,
    };
    (kind, format!("{doing}: {error}, after {received} bytes"))
}

/// Reads exactly one response; `true` = the connection may be used again.
async fn read_response(
    stream: &mut TcpStream,
    expect: &Expect,
    buffer: &mut Vec<u8>,
    reused: bool,
) -> Result<(Good, bool), Failed> {
    let head = loop {
        if let Some(head) = parse_head(buffer)? {
            break head;
        }
        read_more(stream, buffer, reused).await?;
    };
    let total = match head.length {
        Some(length) => {
            let total = head.head_length + length;
            while buffer.len() < total {
                read_more(stream, buffer, reused).await?;
            }
            total
        }
        // Neither length nor chunks: the end of the connection is the end of the body.
        None => loop {
            match stream.read_buf(buffer).await {
                Ok(0) => break buffer.len(),
                Ok(_) => (),
                Err(error) => return Err(broken(&error, reused, buffer.len(), "reading to the end")),
            }
        },
    };
    if buffer.len() > total {
        return Err((FailureKind::Malformed, format!("{} bytes after the response", buffer.len() - total)));
    }
    let body = &buffer[head.head_length..];
    if head.status != expect.status {
        let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        return Err((FailureKind::Status, format!("{} from {:?}: {text}", head.status, head.origin)));
    }
    if let Some(wanted) = &expect.body
        && body != &wanted[..]
    {
        let same = body.iter().zip(wanted).take_while(|(a, b)| a == b).count();
        let detail =
            format!("{} bytes of {} from {:?}, equal up to {same}", body.len(), wanted.len(), head.origin);
        return Err((FailureKind::WrongBody, detail));
    }
    Ok((Good { origin: head.origin, length: body.len() }, head.keep_alive && head.length.is_some()))
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>, reused: bool) -> Result<(), Failed> {
    match stream.read_buf(buffer).await {
        Ok(0) if buffer.is_empty() && reused => {
            Err((FailureKind::ReuseClosed, "closed without a word before this response".into()))
        }
        Ok(0) if buffer.is_empty() => Err((FailureKind::Closed, "closed without a response".into())),
        Ok(0) => Err((FailureKind::ShortBody, format!("closed after {} bytes", buffer.len()))),
        Ok(_) => Ok(()),
        Err(error) => Err(broken(&error, reused, buffer.len(), "reading")),
    }
}

#[derive(Debug)]
struct Head {
    status: u16,
    head_length: usize,
    length: Option<usize>,
    keep_alive: bool,
    origin: String,
}

/// `None` = the head is not complete yet. Chunked bodies are refused: the origins send none, so a proxy that
/// makes one of them has changed the message.
fn parse_head(buffer: &[u8]) -> Result<Option<Head>, Failed> {
    let malformed = |detail: String| (FailureKind::Malformed, detail);
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let head_length = match response.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() > HEAD_MAX => {
            return Err(malformed(format!("head longer than {HEAD_MAX} bytes")));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => {
            let text = String::from_utf8_lossy(&buffer[..buffer.len().min(100)]).into_owned();
            return Err(malformed(format!("{error}: {text:?}")));
        }
    };
    let mut head = Head {
        status: response.code.unwrap_or(0),
        head_length,
        length: None,
        keep_alive: response.version == Some(1),
        origin: String::new(),
    };
    for header in response.headers.iter() {
        let text = || String::from_utf8_lossy(header.value).trim().to_owned();
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = text().parse().map_err(|_| malformed(format!("content-length {}", text())))?;
            if head.length.replace(length).is_some() {
                return Err(malformed("two content-lengths".into()));
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(malformed(format!("transfer-encoding {}", text())));
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.keep_alive &= !text().eq_ignore_ascii_case("close");
        } else if header.name.eq_ignore_ascii_case(ID_HEADER) {
            head.origin = text();
        }
    }
    Ok(Some(head))
}
