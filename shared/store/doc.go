// Package store keeps the ledger and the records in DynamoDB.
//
// Table Ledger has the keys pk and sk and one item per pipeline.Item:
//
//	pk, sk    S  pipeline.Key
//	version   N  counts the writes of the key
//	doc       M  the document, as native attributes so that people can read it
//	failed    S  only on failed pages: the connection, key of the sparse index "failed"
//	expires   N  epoch seconds, the table's TTL attribute
//
// Table Records has the partition key pk, connection#type, and the sort key
// fp_ext_id. Mapped fields are top-level attributes beside the envelope of
// spotme-model.md §5.1. Times of the envelope are UTC of fixed width, so that
// they compare as text.
//
// Neither relies on what only some stand-in for DynamoDB does. What reads must
// see, they read consistently on the main keys; only Items.Failed reads an
// index.
package store
