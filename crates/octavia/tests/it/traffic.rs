//! What the data plane does to requests on their way, seen from both ends.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use octavia_testkit::{Expect, LoadPlan, Mode, body, rest};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{LIMIT, World, origins};

/// Sends bytes, reads to the end of the connection.
pub(crate) async fn exchange(vip: SocketAddr, request: &[u8]) -> Result<String> {
    let work = async {
        let mut stream = tokio::net::TcpStream::connect(vip).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(LIMIT, work).await.context("no end of the answer")?
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_bodies_on_their_way() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(1)?;
    let lb = world.http_lb("headers", &origins, None).await?;
    let shown = world.rest.lb_get(&lb.id).await?;
    let path = format!("/lbaas/listeners/{}", rest::text(&shown["listeners"][0]["id"])?);
    let headers = json!({"X-Forwarded-For": "true", "X-Forwarded-Port": "true", "X-Forwarded-Proto": "true"});
    world.rest.put(&path, &json!({"listener": {"insert_headers": headers}})).await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;

    let request = "GET /headers HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 192.0.2.1\r\n\
                   X-Forwarded-Proto: https\r\nX-Own: kept\r\nConnection: close\r\n\r\n";
    let text = exchange(lb.vip, request.as_bytes()).await?;
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
            .join(", ")
    };
    ensure!(value("host") == "a.example", "{text}");
    ensure!(value("x-own") == "kept", "{text}");
    ensure!(value("x-forwarded-for") == "192.0.2.1, 127.0.0.1", "{text}");
    ensure!(value("x-forwarded-port") == lb.vip.port().to_string(), "{text}");
    ensure!(value("x-forwarded-proto") == "http", "the client's own word was believed: {text}");

    // Uploads, of a known length and in chunks.
    let content = body::pattern(300_000);
    let mut request = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    )
    .into_bytes();
    request.extend_from_slice(&content);
    let answer = exchange(lb.vip, &request).await?;
    ensure!(answer.as_bytes().ends_with(&content), "an upload came back changed: {} bytes", answer.len());

    let mut request =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_vec();
    for chunk in content.chunks(70_000) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = exchange(lb.vip, &request).await?;
    ensure!(
        answer.as_bytes().ends_with(&content),
        "a chunked upload came back changed: {} bytes",
        answer.len()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_every_size_come_through_whole() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(2)?;
    let lb = world.http_lb("sizes", &origins, None).await?;
    let sizes =
        [0, 1, 40, 1_000, 16_383, 16_384, 16_385, 32_767, 32_768, 65_536, 100_000, 1 << 20, (4 << 20) + 3];
    for length in sizes {
        for mode in [Mode::KeepAlive, Mode::Short] {
            let report = LoadPlan::bytes(lb.vip, mode, 3, length).for_requests(15).run().await;
            report.all_good().map_err(|error| anyhow::anyhow!("{length} bytes, {mode:?}: {error}"))?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_to_serve_is_503() -> Result<()> {
    let world = World::start().await?;
    let mut origins = origins(1)?;
    let lb = world.http_lb("alone", &origins, None).await?;
    origins[0].kill();
    let mut plan = LoadPlan::bytes(lb.vip, Mode::Short, 1, 0).for_requests(3);
    plan.expect = Expect { status: 503, body: None };
    plan.timeout = Duration::from_secs(10);
    plan.run().await.all_good().map_err(anyhow::Error::msg)
}

/// A pool gets session persistence while it serves; the cookie that names a member is all it takes.
#[tokio::test(flavor = "multi_thread")]
async fn clients_come_back_to_their_member() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(3)?;
    let lb = world.http_lb("faithful", &origins, None).await?;
    let shown = world.rest.lb_get(&lb.id).await?;
    let path = format!("/lbaas/pools/{}", rest::text(&shown["pools"][0]["id"])?);
    let ask = async |cookie: &str| {
        let request = format!("GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{cookie}\r\n");
        exchange(lb.vip, request.as_bytes()).await
    };
    let who = |text: &str| text.rsplit("\r\n").next().map(str::to_owned);
    let persistence = |value: serde_json::Value| json!({"pool": {"session_persistence": value}});
    world.rest.put(&path, &persistence(json!({"type": "HTTP_COOKIE"}))).await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;
    let first = ask("").await?;
    let set = first.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).context("no cookie")?;
    let (cookie, rest) = set.split_once("; ").context("no path")?;
    ensure!(cookie.starts_with("SRV=") && rest == "path=/", "{set}");
    for _ in 0..6 {
        let again = ask(&format!("Cookie: {cookie}\r\n")).await?;
        ensure!(who(&again) == who(&first) && !again.contains("Set-Cookie"), "{again}");
    }
    world.rest.put(&path, &persistence(json!({"type": "SOURCE_IP"}))).await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;
    let first = ask("").await?;
    for _ in 0..6 {
        ensure!(who(&ask("").await?) == who(&first));
    }
    world.rest.put(&path, &persistence(json!(null))).await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;
    ensure!(who(&ask("").await?) != who(&ask("").await?));
    Ok(())
}

/// Requests that are no HTTP are refused, and reach no member.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_stop_here() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(1)?;
    let lb = world.http_lb("strict", &origins, None).await?;
    let before = origins[0].requests();
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nx",
        "GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let answer = exchange(lb.vip, request.as_bytes()).await?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        let refused = matches!(status, "400" | "501" | "505") || answer.is_empty();
        ensure!(refused, "{request:?} was answered {answer:?}");
    }
    ensure!(origins[0].requests() == before, "a malformed request reached the member");
    Ok(())
}
