// Package erase removes a person from everything that a connection has stored,
// and keeps them out of later runs.
//
// In this order, so that it can be cut anywhere and done again:
//
//  1. The entry. From now on every task that begins leaves the person out
//     (pipeline/suppress.go).
//  2. The wait. Tasks that began before the entry may still write what they have
//     read; they are waited for. On the embedded default the lock of the
//     connection tells, on AWS the tasks' own word in the ledger.
//  3. The removal: pictures, raw pages, plans, rests, retry lists, reports, the
//     ledger's texts, settings, and last the records, which name the pictures.
//  4. The store's own leavings: old versions of objects, free pages and the log
//     of a database, unfinished files.
//  5. The receipt, in one transaction with the entry's end.
//
// A record goes wholly, with its tombstone: an envelope would keep the id. Who
// follows the table's stream sees a REMOVE. Who follows `export --since` cannot
// be told by a tombstone; a receipt that is newer than the last look says that
// a whole export has to be compared.
//
// Only people are erased whose attendee id is given. A speaker is another
// record with another id, and part of the public programme: not touched here.
// What lies outside the store (exports, backups, the table's stream of the last
// 24 hours, point-in-time recovery) is not reached; nor is the vendor.
//
// The functions do not link this package.
package erase
