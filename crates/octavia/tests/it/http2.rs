//! HTTP/2 as curl speaks it, through listeners that the `openstack` command made.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use octavia_testkit::{body, rest, wait_for};

use crate::cli::Cli;
use crate::tls::{Authority, TLS_PORT};
use crate::world::{LIMIT, PORT, World, origins};

/// What curl got.
struct Got {
    version: String,
    status: String,
    content: Vec<u8>,
}

/// One request; curl prints what was spoken and the status after the content.
fn curl(arguments: &[&str]) -> Result<Got> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]);
    command.args(["--write-out", "\n%{http_version} %{http_code}"]).args(arguments);
    let output = command.output().context("curl")?;
    ensure!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let mut content = output.stdout;
    let Some(end) = content.iter().rposition(|&b| b == b'\n') else { bail!("curl printed nothing") };
    let tail = String::from_utf8_lossy(&content[end + 1..]).into_owned();
    let (version, status) = tail.split_once(' ').context("the last line")?;
    content.truncate(end);
    Ok(Got { version: version.to_owned(), status: status.to_owned(), content })
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_it_with_listeners_that_openstack_made() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(2)?;
    let ca = Authority::new("ca")?;
    let reference = world.rest.secret_store("own", &ca.issue("own", &["www.example"])?.bundle()).await?;
    let cli = Cli { product: &world.product, cloud: "demo" };
    let lb = cli.json("create --name web --vip-subnet-id private-subnet --wait")?;
    let vip = rest::text(&lb["vip_address"])?;
    cli.json("pool create --name back --loadbalancer web --protocol HTTP --lb-algorithm ROUND_ROBIN --wait")?;
    for origin in &origins {
        let address = origin.address();
        let (host, port) = (address.ip(), address.port());
        cli.json(&format!("member create --address {host} --protocol-port {port} --wait back"))?;
    }
    let listener = cli.json(&format!(
        "listener create --name secure --protocol TERMINATED_HTTPS --protocol-port {TLS_PORT} \
         --default-tls-container-ref {reference} --default-pool back --insert-headers X-Forwarded-Proto=true \
         --wait web"
    ))?;
    ensure!(listener["alpn_protocols"].to_string().contains("h2"), "{listener}");
    cli.json(&format!(
        "listener create --name clear --protocol HTTP --protocol-port {PORT} --default-pool back --wait web"
    ))?;
    world.rest.lb_active(&rest::text(&lb["id"])?, LIMIT).await?;

    let dir = tempfile::tempdir()?;
    let authority = dir.path().join("ca.pem");
    std::fs::write(&authority, ca.0.pem())?;
    let upload = dir.path().join("upload");
    std::fs::write(&upload, body::pattern(3_000_000))?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no text");
    let (authority, upload) = (text(&authority)?, format!("@{}", text(&upload)?));
    let resolve = format!("www.example:{TLS_PORT}:{vip}");
    let sealed = format!("https://www.example:{TLS_PORT}");
    let clear = format!("http://{vip}:{PORT}");
    let by_tls = ["--http2", "--cacert", &authority, "--resolve", &resolve];
    let in_clear = ["--http2-prior-knowledge"];
    for (how, base) in [(&by_tls[..], &sealed), (&in_clear, &clear)] {
        let ask = |more: &[&str], path: &str| curl(&[how, more, &[&format!("{base}{path}")]].concat());
        let got = ask(&[], "/headers")?;
        ensure!(
            (got.version.as_str(), got.status.as_str()) == ("2", "200"),
            "{} {}",
            got.version,
            got.status
        );
        let seen = String::from_utf8_lossy(&got.content).to_ascii_lowercase();
        ensure!(seen.contains("x-forwarded-proto: https\n") == (how == by_tls), "{seen}");
        let got = ask(&[], "/bytes/5000000")?;
        ensure!(got.content == body::pattern(5_000_000), "a damaged answer");
        let got = ask(&["--data-binary", &upload], "/echo")?;
        ensure!(got.content == body::pattern(3_000_000), "an upload came back changed");
        // Of no known length.
        let chunked = ["--header", "Content-Length:", "--data-binary", &upload];
        let got = ask(&chunked, "/echo")?;
        ensure!(got.content == body::pattern(3_000_000), "an upload in pieces came back changed");
        // Many at once. In clear this curl (7.88) fails at the second stream, with HAProxy as well.
        if how != by_tls {
            continue;
        }
        let got = ask(&["--parallel", "--output", "/dev/null"], "/bytes/[1000-1049]")?;
        let all = String::from_utf8_lossy(&got.content).into_owned() + "\n2 200";
        ensure!(all.lines().filter(|line| *line == "2 200").count() == 50, "{all}");
    }
    ensure!(origins.iter().all(|origin| origin.requests() > 20), "one origin got nothing");
    // The next heartbeat tells.
    let counted = wait_for("the listener's statistics", LIMIT, async || {
        let stats = cli.json("listener stats show secure").map_err(|error| format!("{error:#}"))?;
        if stats["bytes_out"].as_u64() > Some(8_000_000) { Ok(stats) } else { Err(stats.to_string()) }
    });
    let stats = counted.await?;
    ensure!(stats["request_errors"] == 0, "{stats}");

    // Who asks for HTTP/1.1 gets it; a listener may want nothing else.
    let old = ["--http1.1", "--cacert", &authority, "--resolve", &resolve];
    let target = format!("{sealed}/bytes/10");
    ensure!(curl(&[&old[..], &[&target]].concat())?.version == "1.1");
    cli.run("listener set --alpn-protocol http/1.1 --wait secure")?;
    ensure!(curl(&[&by_tls[..], &[&target]].concat())?.version == "1.1");
    Ok(())
}
