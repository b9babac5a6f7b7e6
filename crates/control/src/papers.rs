//! Making out an agent's papers: a certificate of its own, and whom and what it is to believe.

use jiff::{SignedDuration, Timestamp};
use octavia_cloud::{CertIssuer, CloudError};
use octavia_model::AmphoraId;
use octavia_plan::WantedPapers;
use octavia_wire::Papers;

/// New papers, and what the amphora's row says of them.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) papers: Papers,
    pub(crate) authority: String,
    pub(crate) expires_at: Timestamp,
}

pub(crate) async fn papers_issue(
    certs: &dyn CertIssuer,
    amphora: AmphoraId,
    fence: u64,
    lifetime: SignedDuration,
) -> Result<Issued, CloudError> {
    let cert = certs.issue(&amphora.to_string(), lifetime).await?;
    // Somebody may have changed it meanwhile: then the mark says so, and the certificate's authority is still believed.
    let trust = certs.trust();
    let papers = Papers {
        fence,
        mark: trust.mark(),
        server_cert: format!("{}\n{}", cert.chain.trim_end(), cert.key),
        client_ca: trust.bundle(),
        heartbeat_key: trust.heartbeat_key.reveal().to_owned(),
    };
    Ok(Issued { papers, authority: cert.authority, expires_at: cert.expires_at })
}

pub(crate) fn papers_wanted(certs: &dyn CertIssuer) -> WantedPapers {
    let trust = certs.trust();
    WantedPapers { mark: trust.mark(), authority: trust.issuing.name.clone() }
}
