package run

// Connection is the settings of one Stova event to sync, under the names that
// users know (interface.md). The secret key is not part of it.
type Connection struct {
	Name                    string   `json:"name"`
	EndPoint                string   `json:"endPoint"`
	AccountID               string   `json:"accountid"`
	EventID                 string   `json:"eventid"`
	ActiveStatuses          []string `json:"activeStatuses"`
	OnlyModified            bool     `json:"only_data_modified_up_to_a_day_since_last_sync"`
	PresenterPhotoEndpoint  string   `json:"presenterPhotoEndpoint"`
	PersonPhotoEndpoint     string   `json:"personPhotoEndpoint"`
	ConcurrentSessionsTitle string   `json:"ConcurrentSessionsTitle,omitempty"`
	PageSize                int      `json:"pageSize"`
	Timezone                string   `json:"timezone,omitempty"`
	// DataTypes are the enabled types in the order of AllTypes.
	DataTypes         []DataType        `json:"dataTypes"`
	InactivePolicy    string            `json:"inactivePolicy"` // cancel, hide or skip (R2)
	RemoveOutdated    map[DataType]bool `json:"removeOutdated,omitempty"`
	RemovalLimit      RemovalLimit      `json:"removalLimit"`
	RawRetentionDays  int               `json:"rawRetentionDays"`
	RequestsPerMinute int               `json:"requestsPerMinute"`
	RetryBaseSeconds  float64           `json:"retryBaseSeconds"`
	AllowedPhotoHosts []string          `json:"allowedPhotoHosts"`
	AllowPrivateHosts bool              `json:"allowPrivateHosts"`
	// Mapping overrides the default mapping: data type, field, expression. A
	// nil expression unmaps the field.
	Mapping map[DataType]map[string]*string `json:"mapping,omitempty"`
	// Filters keep rows: an expression per data type that must be true.
	Filters map[DataType]string `json:"filters,omitempty"`
	// Protect lists, per data type and record id, the fields a sync leaves alone (R19).
	Protect map[DataType]map[string][]string `json:"protect,omitempty"`
}

// RemovalLimit is how much one run may remove of a type without approval
// (R20): removal is refused above both numbers.
type RemovalLimit struct {
	Records int `json:"records"`
	Percent int `json:"percent"`
}
