package stovatest

// pageSize is the default page of Data Services.
func (c *call) pageSize() int { return 1024 }

// dataServices finds the lists of Data Services; API v2 comes first, they come next.
func (s *Server) dataServices(path string) (route, bool) { return route{}, false }
