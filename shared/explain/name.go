package explain

// nameOf is a rule in a word or two, for tables.
func nameOf(rule string) string {
	return map[string]string{
		"R1": "active status", "R2": "inactive policy", "R3": "active statuses", "R4": "sponsor split", "R5": "category compared",
		"R6": "moved category", "R7": "session times", "R8": "zero dates", "R9": "master conditions", "R10": "master sessions",
		"R11": "locked fields", "R12": "photo mapping", "R13": "users first", "R14": "photo host", "R15": "badge id",
		"R16": "reading window", "R17": "page size", "R18": "unchanged", "R19": "protected fields", "R20": "removal",
		"type": "type enabled", "listed": "listed", "page": "page", "row": "the row", "filter": "filter", "mapping": "mapping",
		"erased": "erased", "pending": "parents", "pick": "picked", "owner": "owner", "photo": "picture", "status": "status", "id": "id",
	}[rule]
}
