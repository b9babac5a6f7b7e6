use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::Origin;

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_good_responses_in_both_modes() {
    let origin = Origin::start(anywhere(), "one").unwrap();
    for (mode, length) in [(Mode::KeepAlive, 1000), (Mode::Short, 40), (Mode::KeepAlive, 1 << 20)] {
        let report = LoadPlan::bytes(origin.address(), mode, 4, length).for_requests(40).run().await;
        report.all_good().unwrap();
        assert_eq!(report.ok, 40);
        assert_eq!(report.members["one"], 40);
        assert_eq!(report.body_bytes, 40 * length as u64);
        // A connection whose turn never came was not made.
        let connects = if mode == Mode::Short { 40..=40 } else { 1..=4 };
        assert!(connects.contains(&report.connects), "{} connects", report.connects);
    }
    assert_eq!(origin.requests(), 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_a_rate_and_its_bounds() {
    let origin = Origin::start(anywhere(), "one").unwrap();
    let plan = LoadPlan::bytes(origin.address(), Mode::KeepAlive, 4, 10).rate(200.0);
    let report = plan.clone().for_requests(100).run().await;
    report.all_good().unwrap();
    assert_eq!(report.ok, 100);
    assert!(report.elapsed >= Duration::from_millis(495), "{:?}", report.elapsed);
    // A busy machine may not come to all of them.
    let report = plan.for_duration(Duration::from_millis(500)).run().await;
    report.all_good().unwrap();
    assert!(report.ok <= 100, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sees_a_killed_origin_and_its_return() {
    let mut origin = Origin::start(anywhere(), "one").unwrap();
    let load = LoadPlan::bytes(origin.address(), Mode::KeepAlive, 2, 10).start();
    let some = async |load: &LoadHandle, wanted: fn(&LoadReport) -> bool| {
        crate::wait_for("the report", Duration::from_secs(5), async || {
            let report = load.report();
            if wanted(&report) { Ok(()) } else { Err(report.to_string()) }
        })
        .await
        .unwrap();
    };
    some(&load, |report| report.ok > 10).await;
    origin.kill();
    some(&load, |report| report.failures.contains_key(&FailureKind::ConnectRefused)).await;
    origin.restart().unwrap();
    load.take_report();
    some(&load, |report| report.ok > 10).await;
    assert!(load.stop().await.longest_gap > Duration::ZERO);
}

/// A server that answers every connection with these bytes and closes.
async fn liar(bytes: &'static [u8], linger: Duration) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(anywhere()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1000];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(bytes).await;
                tokio::time::sleep(linger).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_every_failure() {
    use FailureKind as F;
    const LONG: Duration = Duration::from_secs(5);
    let cases: &[(&[u8], Duration, F)] = &[
        (b"", Duration::ZERO, F::Closed),
        (b"", LONG, F::Timeout),
        (b"HTTP/1.1 200 OK\r\ncontent-le", Duration::ZERO, F::ShortBody),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n!!", Duration::ZERO, F::ShortBody),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno", Duration::ZERO, F::WrongBody),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!", Duration::ZERO, F::WrongBody),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n!(!", Duration::ZERO, F::Malformed),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Duration::ZERO, F::Malformed),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n!(",
            Duration::ZERO,
            F::Malformed,
        ),
        (b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\n!(", Duration::ZERO, F::Status),
        (b"SSH-2.0-x\r\n\r\n", Duration::ZERO, F::Malformed),
    ];
    for (bytes, linger, kind) in cases {
        let mut plan = LoadPlan::bytes(liar(bytes, *linger).await, Mode::Short, 1, 2).for_requests(1);
        plan.timeout = if *kind == F::Timeout { Duration::from_millis(300) } else { LONG };
        let report = plan.run().await;
        assert_eq!((report.ok, report.failed()), (0, 1), "{report}");
        assert_eq!(
            report.failures.keys().next(),
            Some(kind),
            "{:?}: {report}",
            String::from_utf8_lossy(bytes)
        );
        assert!(report.all_good().is_err());
    }
    assert_eq!(crate::body::pattern(2), &b"!("[..], "the table above spells it out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_close_between_requests_is_a_failure() {
    let address = liar(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n!(", Duration::ZERO).await;
    let report = LoadPlan::bytes(address, Mode::KeepAlive, 1, 2).for_requests(2).run().await;
    assert_eq!(report.failures.get(&FailureKind::ReuseClosed), Some(&1), "{report}");
}
