"""The networks. Each is called as net(x_t, t, labels) and returns the shape of x_t."""
