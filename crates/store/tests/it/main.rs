//! One suite, three databases: every test runs on SQLite, PostgreSQL and MariaDB.

mod change;
mod databases;
mod sample;
