//! What can go wrong, whose fault it is, and whether to try again.

use octavia_model::{Blame, ProvisioningStatus, QuotaKind, Retry};
use sea_orm::error::{SqlxMySqlError, SqlxPostgresError};
use sea_orm::{DbErr, RuntimeErr, SqlErr, SqlxError};

/// A key that must be unique and is not; API rules refuse these before, so only a race or a defect gets here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicate {
    LoadBalancer,
    /// Two listeners of a load balancer on one transport and port.
    ListenerPort,
    Pool,
    /// Two members of a pool with one address (as text) and port.
    MemberAddress,
    /// A second health monitor for a pool.
    HealthMonitor,
    L7Policy,
    L7Rule,
    Amphora,
    /// Two flavors of one name.
    FlavorName,
    AvailabilityZone,
    /// Of flavors or of availability zones.
    Profile,
    /// Two requests with one key.
    Receipt,
}

/// What a new load balancer is to be made of and is not there (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Flavor,
    AvailabilityZone,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The lease's epoch is no longer the row's: another worker took over, or the lease was released. Nothing was
    /// written.
    #[error("the lease is lost: nothing was written")]
    LeaseLost,
    /// The database refused because of concurrent writers, also after several tries.
    #[error("the database is busy: {0}")]
    Conflict(String),
    #[error("not unique: {0:?}")]
    Duplicate(Duplicate),
    /// The project may not have one more of these.
    #[error("the quota is met: {0}")]
    QuotaMet(QuotaKind),
    #[error("not there: {0:?}")]
    Missing(Missing),
    /// A row that no version of ours writes.
    #[error("table {table} holds a row that cannot be read: {detail}")]
    Corrupt { table: &'static str, detail: String },
    /// The database is away, full, read-only…
    #[error("database: {0}")]
    Database(DbErr),
    #[error("database URL: {0}")]
    Url(String),
}

impl StoreError {
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Duplicate(_) | Self::QuotaMet(_) | Self::Missing(_) => Blame::Caller,
            Self::LeaseLost | Self::Conflict(_) | Self::Database(_) | Self::Url(_) => Blame::Dependency,
            Self::Corrupt { .. } => Blame::Us,
        }
    }

    /// Whether the same call may succeed later.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Conflict(_) | Self::Database(_) => Retry::Safe,
            Self::LeaseLost
            | Self::Duplicate(_)
            | Self::QuotaMet(_)
            | Self::Missing(_)
            | Self::Corrupt { .. }
            | Self::Url(_) => Retry::Never,
        }
    }
}

/// Why [`Store::lb_change`](crate::Store::lb_change) did not change anything.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// Absent or `DELETED`.
    #[error("no such load balancer")]
    NotFound,
    /// The load balancer's provisioning status is not one the call accepts.
    #[error("not possible while the load balancer is {0}")]
    Refused(ProvisioningStatus),
    /// What the caller's closure answered.
    #[error("rejected")]
    Rejected(E),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a list has no answer. Keys are given back as the caller wrote them.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("unknown filter key {0:?}")]
    UnknownKey(String),
    /// A key other than the tag keys was given more than once.
    #[error("filter key {0:?} is given more than once")]
    RepeatedKey(String),
    #[error("unknown sort key {0:?}")]
    UnknownSortKey(String),
    /// No object of this kind has this id.
    #[error("unknown marker {0:?}")]
    UnknownMarker(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if is_conflict(&error) { Self::Conflict(error.to_string()) } else { Self::Database(error) }
    }
}

impl StoreError {
    /// The error of a statement on a table that has one key that may clash.
    pub(crate) fn of_insert(error: DbErr, key: Duplicate) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::Duplicate(key),
            _ => error.into(),
        }
    }
}

/// Whether the database gave way to another writer: the transaction is to be run again from its beginning.
fn is_conflict(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))
    | DbErr::Conn(RuntimeErr::SqlxError(error))) = error
    else {
        return false;
    };
    let SqlxError::Database(error) = &**error else { return false };
    if let Some(error) = error.try_downcast_ref::<SqlxMySqlError>() {
        // Deadlock; lock wait timeout; row changed since read.
        return matches!(error.number(), 1213 | 1205 | 1020);
    }
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<SqlxPostgresError>().is_some() {
        // Serialization failure; deadlock; lock not available.
        return matches!(&*code, "40001" | "40P01" | "55P03");
    }
    // SQLITE_BUSY and SQLITE_LOCKED, with their extended codes in the higher bytes.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6))
}

impl From<DbErr> for ListError {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
}

impl<E> From<DbErr> for ChangeError<E> {
    fn from(error: DbErr) -> Self {
        Self::Store(error.into())
    }
}
