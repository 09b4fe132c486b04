// Package local is the embedded family of adapters: the ports of package
// pipeline on one SQLite file and a folder, with no server to install.
//
//	DIR/stovasync.db   ledger, records, queue and dead letters
//	DIR/objects/KEY    plans, raw pages, photos, reports
//	DIR/secrets/NAME   vendor keys, mode 0600
//	DIR/locks/         who drives which connection
//
// What a crash leaves. When the process is killed at any point, everything
// that was reported as done is there, and nothing is there by half: a
// transaction is whole or absent, an object or a secret too. After a loss of
// power the database may have lost its last moments but never its order: queue,
// ledger and records share one log, so they go back together to one earlier
// moment, from which the run goes on. Objects reach the disk before they get
// their name, so a page that is settled never points to a torn object. That the
// name itself is there is left to the file system: one with a journal keeps it
// before what the database wrote later. Waiting for the folder too would cost
// three times as much per object for nothing on such systems.
//
// Several processes may use the same folder at once.
package local
