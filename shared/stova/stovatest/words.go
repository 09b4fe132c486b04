package stovatest

// lists holds the words that generated events are made of. Every name is
// invented; no list is long, since ids keep people apart.
type lists struct {
	first, last, jobs, companies, topics, rooms, cities, prefixes []string
}

func words() lists {
	return lists{
		first: []string{
			"Ada", "Bo", "Cleo", "Dara", "Emil", "Fay", "Gus", "Hana", "Ivo", "June", "Kit", "Lena", "Milo", "Nia",
			"Odo", "Pia", "Quin", "Rosa", "Sven", "Tess", "Uma", "Vito", "Wren", "Xena", "Yara", "Zeno",
			"Zoë", "Łucja", "José", "Åse", "Çağla", "Đorđe", "Ελένη", "Иван", "美咲", "محمد", "D’Arcy", "Anne-Lou",
		},
		last: []string{
			"Invented", "Sample", "Fictive", "Madeup", "Notreal", "Example", "Pretend", "Imagined", "Mockford", "Testham",
			"Dummer", "Nobody", "Placeholder", "Makebelieve", "Sham", "Unreal", "Ficción", "Beispiel", "Přiklad",
			"Erfundén", "Øpdigtet", "O'Nowhere", "van der Fiktie", "Тестов", "架空",
		},
		jobs: []string{
			"Engineer", "Head of Testing", "Buyer", "Analyst", "Director", "Nurse", "Research Fellow", "Editor",
			"Chief Sample Officer", "Product Owner", "R&D Lead", "Ingénieure",
		},
		companies: []string{
			"Fictive Ltd", "Sample & Sons", "Invented GmbH", "Nowhere University", "Mock Works", "Testham Council",
			"Placeholder SA", "Beispiel AG", "Société Fictive", "Made Up <Holdings>", "Unreal Networks", "Pretend Bank",
		},
		topics: []string{
			"Opening", "Data at scale", "People first", "The long view", "Cold starts", "Queues & patience", "Safe defaults",
			"Reading logs", "Maps and territories", "Small tools", "Doing less", "Cost of waiting", "Naming things", "Closing",
		},
		rooms:    []string{"Hall Z", "Room 1", "Room 2", "Room 3", "Studio", "Café Fictif"},
		cities:   []string{"Testham", "Nowhere", "Mockville", "Samplestad", "Fiktivá"},
		prefixes: []string{"", "", "Ms", "Mr", "Dr", "Prof."},
	}
}

// countries are sent by name, as the registration form offers them.
func countries() []string {
	return []string{"United Kingdom", "France", "Germany", "Norway", "United States", "Japan", "Côte d'Ivoire"}
}

// levels are the subcategories of sponsors, highest first.
func levels() []string {
	return []string{"Platinum", "Gold", "Silver", "Bronze", "Partner", "Supporter"}
}

// statuses are the ones of stova-api.md §7.8 and one that no source names.
func statuses() []string {
	return []string{
		"Confirmed", "Attended", "Incomplete", "Cancelled", "Activated", "No Show", "Waitlist",
		"Declined", "Inactive", "Open", "Invited", "No-show", "confirmed", "Moved To Mars",
	}
}
