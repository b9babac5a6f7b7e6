//! What operators and tags say of traffic, as clients meet it: access logs, pages, proxies that are believed.

use anyhow::{Result, ensure};
use octavia_testkit::{AllInOneOptions, rest, wait_for};
use serde_json::json;

use crate::traffic::exchange;
use crate::world::{LIMIT, World, binary, origins};

#[tokio::test(flavor = "multi_thread")]
async fn lines_pages_and_proxies() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let (conf, pages, log) = (path("octavia.conf"), path("pages"), path("access.log"));
    std::fs::create_dir(&pages)?;
    std::fs::write(pages.join("busy.429.txt"), "come back later\n")?;
    let text =
        format!("[access_log]\nfile = {}\n[sorry_page]\ndirectory = {}\n", log.display(), pages.display());
    std::fs::write(&conf, text)?;
    let mut options = AllInOneOptions::new(binary(), path("state"))?;
    options.arguments = vec!["--config-file".into(), conf.into()];
    let world = World::start_with(dir, options).await?;
    let origins = origins(1)?;
    let lb = world.http_lb("lines", &origins, None).await?;
    let shown = world.rest.lb_get(&lb.id).await?;
    let listener = rest::text(&shown["listeners"][0]["id"])?;
    let tags = ["octavia:sorry_page=busy", "octavia:accept_proxy=127.0.0.0/8"];
    world.rest.put(&format!("/lbaas/listeners/{listener}"), &json!({"listener": {"tags": tags}})).await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;

    let request = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n\
                   GET /bytes/1?x=%22 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(lb.vip, request.as_bytes()).await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let begin = format!("{} {} {listener} 192.0.2.7 4711 ", rest::text(&shown["project_id"])?, lb.id);
    wait_for("a line about the request", LIMIT, async || {
        let lines = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
        let is_it =
            |line: &str| line.starts_with(&begin) && line.contains(" \"GET /bytes/1?x=%22 HTTP/1.1\" 200 ");
        if lines.lines().any(is_it) { Ok(()) } else { Err(lines) }
    })
    .await?;

    let pool = format!("/lbaas/pools/{}", lb.pool_id);
    world.rest.put(&pool, &json!({"pool": {"admin_state_up": false}})).await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;
    let answer = exchange(lb.vip, request.as_bytes()).await?;
    let page =
        answer.starts_with("HTTP/1.1 429 Too Many Requests\r\n") && answer.ends_with("come back later\n");
    ensure!(page, "{answer}");
    Ok(())
}
