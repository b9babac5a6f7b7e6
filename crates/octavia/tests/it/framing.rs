//! Requests that are not what their frames say.

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::{LIMIT, World};

/// A request as it is on the wire, with `TOKEN` for a token; whether its connection ends with it; the status.
const CASES: &[(&str, bool, &str)] = &[
    ("GET /v2/lbaas/providers HTTP/1.1\r\nHost: a\r\nX-Auth-Token: TOKEN\r\n\r\n", false, "200"),
    ("GET /v2/lbaas/providers HTTP/1.0\r\nX-Auth-Token: TOKEN\r\n\r\n", false, "200"),
    ("GET /v2/lbaas/providers HTTP/1.1\r\nX-Auth-Token: TOKEN\r\n\r\n", false, "400"),
    ("GET /v2/lbaas/providers HTTP/1.1\r\nHost: a\r\nHost: b\r\nX-Auth-Token: TOKEN\r\n\r\n", false, "400"),
    ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", false, "405"),
    // A chunk without a length.
    (
        "POST /v2/lbaas/pools HTTP/1.1\r\nHost: a\r\nX-Auth-Token: TOKEN\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        false,
        "400",
    ),
    // Less than was promised.
    (
        "POST /v2/lbaas/pools HTTP/1.1\r\nHost: a\r\nX-Auth-Token: TOKEN\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\n\r\n{\"pool\": {}}",
        true,
        "400",
    ),
    // Refused before any of it has come, and not asked for.
    (
        "POST /v2/lbaas/pools HTTP/1.1\r\nHost: a\r\nX-Auth-Token: TOKEN\r\nContent-Type: application/json\r\n\
         Content-Length: 99999999999\r\n\r\n",
        false,
        "413",
    ),
    (
        "POST /v2/lbaas/pools HTTP/1.1\r\nHost: a\r\nX-Auth-Token: TOKEN\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: 999999\r\n\r\n",
        false,
        "413",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_not_what_their_frames_say() -> Result<()> {
    let world = World::start_noop().await?;
    let address = world.product.url().trim_start_matches("http://").to_owned();
    for (request, ends, status) in CASES {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(request.replace("TOKEN", &world.rest.token()).as_bytes()).await?;
        if *ends {
            stream.shutdown().await?;
        }
        let mut head = [0; 12];
        timeout(LIMIT, stream.read_exact(&mut head))
            .await
            .with_context(|| format!("no answer: {request}"))??;
        let head = String::from_utf8_lossy(&head);
        ensure!(head.ends_with(status), "{head} instead of {status}: {request}");
    }
    Ok(())
}
