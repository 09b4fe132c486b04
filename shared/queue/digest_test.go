package queue_test

import (
	"crypto/md5"
	"encoding/hex"
)

// digest is the checksum of a message's body that SQS answers with.
func digest(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}
